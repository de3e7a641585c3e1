
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Requests whose connection is watched while it is made.
 */


#include "ngx_eb_client_transfer.h"


static curl_socket_t ngx_eb_client_on_open(void *data, curlsocktype purpose,
    struct curl_sockaddr *address);
static CURLcode ngx_eb_client_on_tls(CURL *easy, void *ctx, void *data);


ngx_int_t
ngx_eb_client_watched(ngx_eb_client_transfer_t *t)
{
    CURL      *easy;
    CURLcode   rc;

    easy = t->easy;

    /* a session from the cache would come without the certificates */

    rc = curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    rc |= curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, 1L);
    rc |= curl_easy_setopt(easy, CURLOPT_SSL_SESSIONID_CACHE, 0L);

    rc |= curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION,
                           ngx_eb_client_on_open);
    rc |= curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, t);

    /*
     * Reading all certificates of the system takes long enough for others to
     * notice, and libcurl would do it for each connection.
     */

    rc |= curl_easy_setopt(easy, CURLOPT_CAINFO, NULL);
    rc |= curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);

    rc |= curl_easy_setopt(easy, CURLOPT_SSL_CTX_FUNCTION,
                           ngx_eb_client_on_tls);
    rc |= curl_easy_setopt(easy, CURLOPT_SSL_CTX_DATA, t);

    return (rc == CURLE_OK) ? NGX_OK : NGX_ERROR;
}


/*
 * Whoever has found the address, and whatever has become of the name since:
 * this is the one that is connected to.
 */

static curl_socket_t
ngx_eb_client_on_open(void *data, curlsocktype purpose,
    struct curl_sockaddr *address)
{
    ngx_eb_client_transfer_t *t = data;

    if (purpose != CURLSOCKTYPE_IPCXN
        || t->watch->address(t->data, &address->addr, 1) != NGX_OK)
    {
        t->forbidden = 1;
        return CURL_SOCKET_BAD;
    }

    return socket(address->family, address->socktype|SOCK_CLOEXEC,
                  address->protocol);
}


static CURLcode
ngx_eb_client_on_tls(CURL *easy, void *ctx, void *data)
{
    ngx_eb_client_transfer_t *t = data;

    return (t->watch->tls(t->data, ctx) == NGX_OK) ? CURLE_OK
                                                   : CURLE_OUT_OF_MEMORY;
}


ngx_eb_client_cause_e
ngx_eb_client_cause(ngx_eb_client_transfer_t *t, CURLcode code)
{
    if (t->large) {
        return NGX_EB_CLIENT_LARGE;
    }

    switch (code) {

    case CURLE_COULDNT_RESOLVE_HOST:
        return NGX_EB_CLIENT_NAME;

    case CURLE_COULDNT_CONNECT:
        return t->forbidden ? NGX_EB_CLIENT_FORBIDDEN : NGX_EB_CLIENT_CONNECT;

    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_CIPHER:
        return NGX_EB_CLIENT_TLS;

    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_PARTIAL_FILE:
        return NGX_EB_CLIENT_CLOSED;

    case CURLE_OPERATION_TIMEDOUT:
        return NGX_EB_CLIENT_TIMEOUT;

    case CURLE_OUT_OF_MEMORY:
    case CURLE_FAILED_INIT:
    case CURLE_SSL_CACERT_BADFILE:
        return NGX_EB_CLIENT_SELF;

    default:
        return NGX_EB_CLIENT_ANSWER;
    }
}


const char *
ngx_eb_client_authorities(void)
{
#if (LIBCURL_VERSION_NUM >= 0x074600)
    curl_version_info_data  *info;

    info = curl_version_info(CURLVERSION_NOW);

    if (info->age >= CURLVERSION_SEVENTH && info->cainfo) {
        return info->cainfo;
    }
#endif

    return X509_get_default_cert_file();
}


/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What a probe sees of a TLS handshake.
 */


#include "ngx_eb_probe_tls.h"
#include <openssl/x509v3.h>


static int ngx_eb_probe_tls_on_verify(int ok, X509_STORE_CTX *x509);
static void ngx_eb_probe_tls_on_info(const SSL *ssl, int where, int ret);
static void ngx_eb_probe_tls_leaf(ngx_eb_probe_tls_t *tls, X509 *cert);
static void ngx_eb_probe_tls_names(ngx_eb_probe_tls_t *tls, X509 *cert);
static time_t ngx_eb_probe_tls_time(const ASN1_TIME *value);
static void ngx_eb_probe_tls_common(ngx_eb_probe_text_t *text,
    X509_NAME *name);
static void ngx_eb_probe_tls_entry(ngx_eb_probe_text_t *text,
    X509_NAME *name, int nid);
static void ngx_eb_probe_tls_text(ngx_eb_probe_text_t *text, const void *data,
    size_t len, size_t max);
static u_char *ngx_eb_probe_tls_span(u_char *p, u_char *last, time_t sec);


ngx_int_t
ngx_eb_probe_tls_attach(ngx_eb_probe_tls_t *tls, SSL_CTX *ctx,
    ngx_str_t *trusted)
{
    X509_STORE  *store;

    store = ngx_eb_probe_store(trusted);

    if (store == NULL || SSL_CTX_set1_verify_cert_store(ctx, store) != 1) {
        return NGX_ERROR;
    }

    ngx_eb_probe_tls_detach(tls);

    SSL_CTX_up_ref(ctx);

    tls->ctx = ctx;
    tls->file = (trusted->len != 0);
    tls->alert = -1;

    SSL_CTX_set_app_data(ctx, tls);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, ngx_eb_probe_tls_on_verify);
    SSL_CTX_set_info_callback(ctx, ngx_eb_probe_tls_on_info);

    return NGX_OK;
}


/* a connection may be closed later than it is taken leave of */

void
ngx_eb_probe_tls_detach(ngx_eb_probe_tls_t *tls)
{
    if (tls->ctx) {
        SSL_CTX_set_app_data(tls->ctx, NULL);
        SSL_CTX_free(tls->ctx);
        tls->ctx = NULL;
    }
}


static int
ngx_eb_probe_tls_on_verify(int ok, X509_STORE_CTX *x509)
{
    SSL                 *ssl;
    X509                *cert;
    ngx_eb_probe_tls_t  *tls;

    ssl = X509_STORE_CTX_get_ex_data(x509,
                                     SSL_get_ex_data_X509_STORE_CTX_idx());
    tls = ssl ? SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl)) : NULL;

    if (tls == NULL) {
        return ok;
    }

    cert = X509_STORE_CTX_get0_cert(x509);

    if (cert && !tls->certificate) {
        ngx_eb_probe_tls_leaf(tls, cert);
    }

    if (!ok && tls->error == X509_V_OK) {
        tls->error = X509_STORE_CTX_get_error(x509);
        tls->depth = X509_STORE_CTX_get_error_depth(x509);

        cert = X509_STORE_CTX_get_current_cert(x509);

        if (cert) {
            ngx_eb_probe_tls_common(&tls->fault,
                                    X509_get_subject_name(cert));
            ngx_eb_probe_tls_common(&tls->unknown,
                                    X509_get_issuer_name(cert));
            tls->fault_before =
                ngx_eb_probe_tls_time(X509_get0_notBefore(cert));
            tls->fault_after =
                ngx_eb_probe_tls_time(X509_get0_notAfter(cert));
        }
    }

    return ok;
}


/* tickets of TLS 1.3 come later, and are handshakes here */

static void
ngx_eb_probe_tls_on_info(const SSL *ssl, int where, int ret)
{
    unsigned int          len;
    const char           *text;
    const unsigned char  *data;
    ngx_eb_probe_tls_t   *tls;

    tls = SSL_CTX_get_app_data(SSL_get_SSL_CTX((SSL *) ssl));

    if (tls == NULL) {
        return;
    }

    if ((where & SSL_CB_HANDSHAKE_START) && !tls->started) {
        tls->started = 1;
        tls->begun = ngx_eb_probe_clock();
    }

    /* the upper byte is the level */

    if ((where & SSL_CB_ALERT) && ret >> 8 == SSL3_AL_FATAL
        && tls->alert == -1)
    {
        tls->alert = ret & 0xff;
    }

    if (!(where & SSL_CB_HANDSHAKE_DONE) || tls->done) {
        return;
    }

    tls->done = 1;
    tls->finished = ngx_eb_probe_clock();

    text = SSL_get_version(ssl);
    ngx_eb_probe_tls_text(&tls->version, text, ngx_strlen(text),
                          NGX_EB_PROBE_NAME);

    text = SSL_get_cipher_name(ssl);
    ngx_eb_probe_tls_text(&tls->cipher, text, ngx_strlen(text),
                          NGX_EB_PROBE_NAME);

    SSL_get0_alpn_selected(ssl, &data, &len);
    ngx_eb_probe_tls_text(&tls->alpn, data, len, NGX_EB_PROBE_NAME);
}


static void
ngx_eb_probe_tls_leaf(ngx_eb_probe_tls_t *tls, X509 *cert)
{
    X509_NAME  *issuer;

    tls->certificate = 1;

    tls->not_before = ngx_eb_probe_tls_time(X509_get0_notBefore(cert));
    tls->not_after = ngx_eb_probe_tls_time(X509_get0_notAfter(cert));

    issuer = X509_get_issuer_name(cert);

    ngx_eb_probe_tls_common(&tls->subject, X509_get_subject_name(cert));
    ngx_eb_probe_tls_entry(&tls->issuer, issuer, NID_organizationName);
    ngx_eb_probe_tls_entry(&tls->issuer, issuer, NID_commonName);

    ngx_eb_probe_tls_names(tls, cert);
}


static void
ngx_eb_probe_tls_names(ngx_eb_probe_tls_t *tls, X509 *cert)
{
    int             i;
    size_t          len;
    u_char          address[NGX_SOCKADDR_STRLEN];
    const void     *data;
    GENERAL_NAME   *name;
    GENERAL_NAMES  *names;

    names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);

    for (i = 0; i < sk_GENERAL_NAME_num(names); i++) {

        name = sk_GENERAL_NAME_value(names, i);

        if (name->type == GEN_DNS) {
            data = ASN1_STRING_get0_data(name->d.dNSName);
            len = ASN1_STRING_length(name->d.dNSName);

        } else if (name->type == GEN_IPADD) {

            len = ASN1_STRING_length(name->d.iPAddress);

            if (len != 4 && len != 16) {
                continue;
            }

            if (inet_ntop(len == 4 ? AF_INET : AF_INET6,
                          ASN1_STRING_get0_data(name->d.iPAddress),
                          (char *) address, NGX_SOCKADDR_STRLEN)
                == NULL)
            {
                continue;
            }

            data = address;
            len = ngx_strlen(address);

        } else {
            continue;
        }

        if (tls->names.len) {
            ngx_eb_probe_tls_text(&tls->names, ", ", 2, NGX_EB_PROBE_NAMES);
        }

        ngx_eb_probe_tls_text(&tls->names, data, len, NGX_EB_PROBE_NAMES);
    }

    GENERAL_NAMES_free(names);

    if (tls->names.len == 0) {
        tls->names = tls->subject;
    }
}


static time_t
ngx_eb_probe_tls_time(const ASN1_TIME *value)
{
    struct tm  tm;

    return (value && ASN1_TIME_to_tm(value, &tm) == 1) ? timegm(&tm) : 0;
}


static void
ngx_eb_probe_tls_common(ngx_eb_probe_text_t *text, X509_NAME *name)
{
    ngx_eb_probe_tls_entry(text, name, NID_commonName);

    if (text->len == 0) {
        ngx_eb_probe_tls_entry(text, name, NID_organizationName);
    }
}


static void
ngx_eb_probe_tls_entry(ngx_eb_probe_text_t *text, X509_NAME *name, int nid)
{
    int             i, len;
    unsigned char  *utf8;

    i = X509_NAME_get_index_by_NID(name, nid, -1);

    if (i < 0) {
        return;
    }

    utf8 = NULL;
    len = ASN1_STRING_to_UTF8(&utf8,
              X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, i)));

    if (len > 0) {
        if (text->len) {
            ngx_eb_probe_tls_text(text, ", ", 2, NGX_EB_PROBE_NAMES);
        }

        ngx_eb_probe_tls_text(text, utf8, len, NGX_EB_PROBE_NAME);
    }

    OPENSSL_free(utf8);
}


/* appends at most max bytes, none of which makes a log or a terminal jump */

static void
ngx_eb_probe_tls_text(ngx_eb_probe_text_t *text, const void *data, size_t len,
    size_t max)
{
    size_t         i;
    const u_char  *p;

    p = data;
    len = ngx_min(len, ngx_min(max, NGX_EB_PROBE_NAMES - text->len));

    for (i = 0; i < len; i++) {
        text->data[text->len++] = (p[i] < ' ' || p[i] == 0x7f) ? '?' : p[i];
    }
}


/* "3 days", "1 hour" */

static u_char *
ngx_eb_probe_tls_span(u_char *p, u_char *last, time_t sec)
{
    time_t       n;
    const char  *unit;

    if (sec >= 86400) {
        n = sec / 86400;
        unit = "day";

    } else if (sec >= 3600) {
        n = sec / 3600;
        unit = "hour";

    } else if (sec >= 60) {
        n = sec / 60;
        unit = "minute";

    } else {
        n = sec;
        unit = "second";
    }

    return ngx_slprintf(p, last, "%T %s%s", n, unit, n == 1 ? "" : "s");
}


#define ngx_eb_probe_tls_value(text)  (text)->len, (text)->data


ngx_eb_probe_class_e
ngx_eb_probe_tls_error(ngx_eb_probe_tls_t *tls, ngx_str_t *host,
    ngx_str_t *said, time_t now, u_char *words, u_char **last)
{
    u_char  *p, *end;

    p = words;
    end = *last;

    switch (tls->error) {

    case X509_V_OK:
        break;

    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:

        if (tls->depth == 0) {
            p = ngx_slprintf(p, end, "certificate ");

        } else {
            p = ngx_slprintf(p, end, "certificate of authority \"%*s\" ",
                             ngx_eb_probe_tls_value(&tls->fault));
        }

        if (tls->error == X509_V_ERR_CERT_HAS_EXPIRED) {
            p = ngx_slprintf(p, end, "expired ");
            p = ngx_eb_probe_tls_span(p, end, now - tls->fault_after);
            *last = ngx_slprintf(p, end, " ago");

            return NGX_EB_PROBE_EXPIRED;
        }

        p = ngx_slprintf(p, end, "is not valid yet, but will be in ");
        *last = ngx_eb_probe_tls_span(p, end, tls->fault_before - now);

        return NGX_EB_PROBE_NOT_YET_VALID;

    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        *last = ngx_slprintf(p, end, "certificate for %*s is self-signed and "
                             "not trusted",
                             ngx_eb_probe_tls_value(&tls->names));
        return NGX_EB_PROBE_SELF_SIGNED;

    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        *last = ngx_slprintf(p, end, "authority \"%*s\" of the certificate is "
                             "not trusted",
                             ngx_eb_probe_tls_value(&tls->fault));
        return NGX_EB_PROBE_AUTHORITY;

    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        *last = ngx_slprintf(p, end, "certificate chain is incomplete: "
                             "issuer \"%*s\" of \"%*s\" is neither sent nor "
                             "%s",
                             ngx_eb_probe_tls_value(&tls->unknown),
                             ngx_eb_probe_tls_value(&tls->fault),
                             tls->file ? "in the trusted certificate"
                                       : "an authority of the system");
        return NGX_EB_PROBE_CHAIN;

    default:
        *last = ngx_slprintf(p, end, "certificate \"%*s\" is not valid: %s",
                             ngx_eb_probe_tls_value(&tls->fault),
                             X509_verify_cert_error_string(tls->error));
        return NGX_EB_PROBE_CERTIFICATE;
    }

    /* the name is compared by libcurl, when everything else is good */

    if (tls->done) {
        *last = ngx_slprintf(p, end, "host name %V does not match certificate "
                             "for %*s", host,
                             ngx_eb_probe_tls_value(&tls->names));
        return NGX_EB_PROBE_WRONG_HOST;
    }

    switch (tls->alert) {

    case SSL_AD_PROTOCOL_VERSION:
        *last = ngx_slprintf(p, end, "server does not speak TLS 1.2 or newer");
        return NGX_EB_PROBE_TLS_VERSION;

    case SSL_AD_UNRECOGNIZED_NAME:
        *last = ngx_slprintf(p, end, "server has no certificate for %V", host);
        return NGX_EB_PROBE_TLS_NAME;

    case SSL_AD_HANDSHAKE_FAILURE:
        *last = ngx_slprintf(p, end, "server refused the TLS handshake: it "
                             "has no certificate for %V, or no cipher in "
                             "common, or wants a client's certificate", host);
        return NGX_EB_PROBE_TLS_FAILED;

    case -1:

        if (ngx_strlcasestrn(said->data, said->data + said->len,
                             (u_char *) "wrong version", 13 - 1))
        {
            *last = ngx_slprintf(p, end, "server does not speak TLS on this "
                                 "port");
            return NGX_EB_PROBE_TLS_FAILED;
        }

        *last = ngx_slprintf(p, end, "connection was %s by the server in the "
                             "TLS handshake",
                             ngx_strlcasestrn(said->data,
                                              said->data + said->len,
                                              (u_char *) "reset", 5 - 1)
                             ? "reset" : "closed");
        return NGX_EB_PROBE_TLS_CLOSED;

    default:
        *last = ngx_slprintf(p, end, "TLS handshake failed: %s",
                             SSL_alert_desc_string_long(tls->alert));
        return NGX_EB_PROBE_TLS_FAILED;
    }
}


const char *
ngx_eb_probe_tls_alert(ngx_eb_probe_tls_t *tls)
{
    if (tls->alert <= 0) {
        return NULL;
    }

#ifdef TLS13_AD_CERTIFICATE_REQUIRED
    if (tls->alert == TLS13_AD_CERTIFICATE_REQUIRED) {
        return "it wants a client's certificate";
    }
#endif

    return SSL_alert_desc_string_long(tls->alert);
}

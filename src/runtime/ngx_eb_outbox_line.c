
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include "ngx_eb_outbox_line.h"
#include "ngx_eb_out.h"
#include "ngx_eb_time.h"
#include "ngx_eb_webhook.h"
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>


/* a line without its texts */
#define NGX_EB_OUTBOX_FRAME  256

#define NGX_EB_OUTBOX_SHA    32


static ngx_uint_t ngx_eb_outbox_lit(u_char **p, u_char *last,
    const char *text);
static ngx_uint_t ngx_eb_outbox_text(u_char **p, u_char *last,
    ngx_str_t *text);


static ngx_str_t  ngx_eb_outbox_kinds[] = {
    ngx_string("intent"),
    ngx_string("callback"),
    ngx_string("unknown"),
    ngx_string("audited"),
    ngx_string("done"),
    ngx_string("dead")
};


size_t
ngx_eb_outbox_size(ngx_eb_outbox_line_t *line)
{
    return NGX_EB_OUTBOX_FRAME + line->id.len + line->webhook.len
           + line->audit.len + line->payload.len
           + (line->reason ? ngx_strlen(line->reason) : 0);
}


u_char *
ngx_eb_outbox_format(u_char *p, ngx_eb_outbox_line_t *line)
{
    ngx_str_t     reason;
    ngx_eb_out_t  out;

    ngx_eb_out_init(&out, p, ngx_eb_outbox_size(line));

    ngx_eb_out_lit(&out, "{\"v\":1,\"kind\":\"");
    ngx_eb_out_raw(&out, ngx_eb_outbox_kinds[line->kind].data,
                   ngx_eb_outbox_kinds[line->kind].len);
    ngx_eb_out_lit(&out, "\",\"id\":\"");
    ngx_eb_out_raw(&out, line->id.data, line->id.len);
    ngx_eb_out_lit(&out, "\",\"created\":");
    ngx_eb_out_int(&out, line->created);

    if (line->kind <= NGX_EB_OUTBOX_CALLBACK) {
        ngx_eb_out_lit(&out, ",\"webhook\":\"");
        ngx_eb_out_raw(&out, line->webhook.data, line->webhook.len);
        ngx_eb_out_lit(&out, "\",\"audit\":");

        if (line->audit.len) {
            ngx_eb_out_raw(&out, line->audit.data, line->audit.len);

        } else {
            ngx_eb_out_lit(&out, "\"\"");
        }

        ngx_eb_out_lit(&out, ",\"payload\":");
        ngx_eb_out_raw(&out, line->payload.data, line->payload.len);

        return out.pos;
    }

    if (line->kind >= NGX_EB_OUTBOX_DONE) {
        ngx_eb_out_lit(&out, ",\"status\":");
        ngx_eb_out_int(&out, (int64_t) line->status);
        ngx_eb_out_lit(&out, ",\"tries\":");
        ngx_eb_out_int(&out, (int64_t) line->tries);
    }

    if (line->reason) {
        reason.data = (u_char *) line->reason;
        reason.len = ngx_strlen(line->reason);

        ngx_eb_out_lit(&out, ",\"reason\":\"");
        ngx_eb_out_raw(&out, reason.data, reason.len);
        ngx_eb_out_lit(&out, "\"");
    }

    return out.pos;
}


/* nobody but us writes such lines: members stand where we put them */

ngx_int_t
ngx_eb_outbox_parse(u_char *p, size_t len, ngx_eb_outbox_line_t *line)
{
    u_char     *last, *start;
    int64_t     n;
    ngx_str_t   text;
    ngx_uint_t  i;

    ngx_memzero(line, sizeof(ngx_eb_outbox_line_t));

    last = p + len;

    if (!ngx_eb_outbox_lit(&p, last, "{\"v\":1,\"kind\":\"")
        || !ngx_eb_outbox_text(&p, last, &text))
    {
        return NGX_DECLINED;
    }

    for (i = 0; i < NGX_EB_OUTBOX_KINDS; i++) {
        if (text.len == ngx_eb_outbox_kinds[i].len
            && ngx_memcmp(text.data, ngx_eb_outbox_kinds[i].data, text.len)
               == 0)
        {
            break;
        }
    }

    if (i == NGX_EB_OUTBOX_KINDS
        || !ngx_eb_outbox_lit(&p, last, "\",\"id\":\"")
        || !ngx_eb_outbox_text(&p, last, &line->id)
        || line->id.len != NGX_EB_OUTBOX_ID
        || !ngx_eb_outbox_lit(&p, last, "\",\"created\":"))
    {
        return NGX_DECLINED;
    }

    line->kind = (ngx_eb_outbox_kind_e) i;

    start = p;
    n = 0;

    while (p < last && *p >= '0' && *p <= '9' && p - start < 18) {
        n = n * 10 + (*p++ - '0');
    }

    if (p == start) {
        return NGX_DECLINED;
    }

    line->created = n;

    if (line->kind > NGX_EB_OUTBOX_CALLBACK) {
        return (p == last || *p == ',') ? NGX_OK : NGX_DECLINED;
    }

    if (!ngx_eb_outbox_lit(&p, last, ",\"webhook\":\"")
        || !ngx_eb_outbox_text(&p, last, &line->webhook)
        || (line->webhook.len && !ngx_eb_outbox_named(&line->webhook))
        || !ngx_eb_outbox_lit(&p, last, "\",\"audit\":"))
    {
        return NGX_DECLINED;
    }

    start = p;

    if (!ngx_eb_outbox_lit(&p, last, "\"")
        || !ngx_eb_outbox_text(&p, last, &text)
        || !ngx_eb_outbox_lit(&p, last, "\",\"payload\":"))
    {
        return NGX_DECLINED;
    }

    /* with its quotes, as it is compared and written */

    if (text.len) {
        line->audit.data = start;
        line->audit.len = text.len + 2;
    }

    if (last - p < 2 || *p != '{' || last[-1] != '}') {
        return NGX_DECLINED;
    }

    line->payload.data = p;
    line->payload.len = last - p;

    return NGX_OK;
}


static ngx_uint_t
ngx_eb_outbox_lit(u_char **p, u_char *last, const char *text)
{
    size_t  len;

    len = ngx_strlen(text);

    if ((size_t) (last - *p) < len || ngx_memcmp(*p, text, len) != 0) {
        return 0;
    }

    *p += len;

    return 1;
}


/* up to the quote that ends a string, not including it */

static ngx_uint_t
ngx_eb_outbox_text(u_char **p, u_char *last, ngx_str_t *text)
{
    u_char  *q;

    for (q = *p; q < last && *q != '"'; q++) {

        if (*q == '\\' && ++q == last) {
            return 0;
        }
    }

    if (q == last) {
        return 0;
    }

    text->data = *p;
    text->len = q - *p;
    *p = q;

    return 1;
}


ngx_uint_t
ngx_eb_outbox_named(ngx_str_t *name)
{
    u_char  ch;
    size_t  i;

    for (i = 0; i < name->len; i++) {
        ch = name->data[i];

        if (!(ch >= 'a' && ch <= 'z') && !(ch >= 'A' && ch <= 'Z')
            && !(ch >= '0' && ch <= '9')
            && ch != '_' && ch != '-' && ch != '.')
        {
            return 0;
        }
    }

    return name->len >= 1 && name->len <= NGX_EB_OUTBOX_NAME;
}


void
ngx_eb_outbox_id(u_char *id, u_char *random)
{
    ngx_hex_dump(ngx_cpymem(id, "msg_", 4), random, 16);
}


ngx_msec_t
ngx_eb_outbox_wait(ngx_uint_t attempts, ngx_str_t *retry_after, time_t now,
    ngx_uint_t random)
{
    time_t      after;
    ngx_msec_t  bound;

    after = ngx_eb_time_retry_after(retry_after, now);

    if (after > 0) {
        after = ngx_min(after, NGX_EB_OUTBOX_LONG / 1000);
        return (ngx_msec_t) after * 1000 + random % 1000;
    }

    bound = NGX_EB_OUTBOX_CAP;

    /* the ninth doubling is beyond the cap */

    if (attempts < 10) {
        bound = (ngx_msec_t) NGX_EB_OUTBOX_BASE << (attempts ? attempts - 1
                                                             : 0);
        bound = ngx_min(bound, NGX_EB_OUTBOX_CAP);
    }

    return random % (bound + 1);
}


const char *
ngx_eb_outbox_over(ngx_uint_t attempts, ngx_uint_t tries, int64_t created,
    int64_t now, time_t max_age, ngx_msec_t wait)
{
    if (tries && attempts >= tries) {
        return "tries";
    }

    /* a clock that was set back makes nothing old */

    if (now - created + (int64_t) wait > (int64_t) max_age * 1000) {
        return "age";
    }

    return NULL;
}


ngx_int_t
ngx_eb_outbox_key(ngx_str_t *secret, u_char *buf, ngx_str_t *key)
{
    ngx_int_t  rc;

    rc = ngx_eb_webhook_key(secret, NGX_EB_WEBHOOK_SECRET, buf,
                            NGX_EB_OUTBOX_KEY, key);

    if (rc != NGX_DECLINED) {
        return rc;
    }

    if (secret->len == 0 || secret->len > NGX_EB_OUTBOX_KEY) {
        return NGX_ERROR;
    }

    key->data = buf;
    key->len = secret->len;
    ngx_memcpy(buf, secret->data, secret->len);

    return NGX_OK;
}


ngx_int_t
ngx_eb_outbox_sign(ngx_str_t *key, ngx_str_t *content, u_char *out)
{
    u_char        mac[EVP_MAX_MD_SIZE];
    ngx_str_t     from, to;
    unsigned int  len;

    if (HMAC(EVP_sha256(), key->data, (int) key->len, content->data,
             content->len, mac, &len)
        == NULL
        || len != NGX_EB_OUTBOX_SHA)
    {
        return NGX_ERROR;
    }

    from.data = mac;
    from.len = len;

    to.data = ngx_cpymem(out, "v1,", 3);
    ngx_encode_base64(&to, &from);

    OPENSSL_cleanse(mac, sizeof(mac));

    return NGX_OK;
}

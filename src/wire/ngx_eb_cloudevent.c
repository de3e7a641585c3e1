
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * CloudEvents that come in: what a request holds, and whether each attribute
 * is as it should be.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "ngx_eb_time.h"
#include "ngx_eb_event.h"
#include "ngx_eb_cloudevent.h"


/* the names that CloudEvents itself gives a meaning */

typedef enum {
    NGX_EB_CE_ID = 0,
    NGX_EB_CE_SOURCE,
    NGX_EB_CE_SPECVERSION,
    NGX_EB_CE_TYPE,
    NGX_EB_CE_REQUIRED,                 /* so many are */
    NGX_EB_CE_SUBJECT = NGX_EB_CE_REQUIRED,
    NGX_EB_CE_TIME,
    NGX_EB_CE_DATACONTENTTYPE,
    NGX_EB_CE_DATASCHEMA,
    NGX_EB_CE_DATA,
    NGX_EB_CE_DATA_BASE64,
    NGX_EB_CE_EXTENSION
} ngx_eb_ce_name_e;


/* a longer name is not shown whole */
#define NGX_EB_CE_MAX_NAME  64

/* what a time needs, and decimals that are too many for any clock */
#define NGX_EB_CE_MAX_TIME  64


typedef struct {
    ngx_eb_json_node_t        node[NGX_EB_CE_EXTENSION];
    ngx_str_t                 extensions[NGX_EB_CE_MAX_EXTENSIONS];
    ngx_uint_t                nextensions;
} ngx_eb_ce_members_t;


static ngx_int_t ngx_eb_ce_member(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t key, ngx_eb_ce_members_t *members,
    ngx_eb_event_t *event);
static ngx_uint_t ngx_eb_ce_name(ngx_str_t *name);
static const char *ngx_eb_ce_misnamed(ngx_str_t *name);
static ngx_int_t ngx_eb_ce_extension(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_str_t *name, ngx_eb_json_node_t value, ngx_eb_event_t *event);
static ngx_int_t ngx_eb_ce_attribute(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_uint_t name, ngx_eb_json_node_t value, ngx_eb_event_t *event);
static const char *ngx_eb_ce_wrong(ngx_uint_t name, ngx_str_t *value);
static ngx_int_t ngx_eb_ce_base64(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t value, ngx_eb_event_t *event);
static ngx_int_t ngx_eb_ce_refuse(ngx_pool_t *pool, ngx_str_t *name,
    const char *why, ngx_eb_event_t *event);
static const char *ngx_eb_ce_text(ngx_str_t *value);
static ngx_uint_t ngx_eb_ce_uri(ngx_str_t *value, ngx_uint_t absolute);
static ngx_uint_t ngx_eb_ce_time(ngx_str_t *value);
static ngx_uint_t ngx_eb_ce_media(ngx_str_t *value);
static size_t ngx_eb_ce_token(u_char *p, u_char *last);
static ngx_uint_t ngx_eb_ce_text_size(ngx_str_t *data, size_t *size);
static const char *ngx_eb_ce_decode(ngx_str_t *value, u_char *dst,
    ngx_str_t *decoded);
static void ngx_eb_ce_trim(ngx_str_t *type, ngx_str_t *media);
static ngx_uint_t ngx_eb_ce_is(ngx_str_t *value, const char *text,
    size_t len);


/* in the order of ngx_eb_ce_name_e */

static ngx_str_t  ngx_eb_ce_names[] = {
    ngx_string("id"),
    ngx_string("source"),
    ngx_string("specversion"),
    ngx_string("type"),
    ngx_string("subject"),
    ngx_string("time"),
    ngx_string("datacontenttype"),
    ngx_string("dataschema"),
    ngx_string("data"),
    ngx_string("data_base64")
};


#define ngx_eb_ce_lit(value, text)                                           \
    ngx_eb_ce_is(value, text, sizeof(text) - 1)

#define ngx_eb_ce_alpha(ch)  (((ch) | 0x20) >= 'a' && ((ch) | 0x20) <= 'z')
#define ngx_eb_ce_digit(ch)  ((ch) >= '0' && (ch) <= '9')
#define ngx_eb_ce_hex(ch)                                                    \
    (ngx_eb_ce_digit(ch) || (((ch) | 0x20) >= 'a' && ((ch) | 0x20) <= 'f'))


ngx_uint_t
ngx_eb_ce_content(ngx_str_t *type)
{
    ngx_str_t  media, start;

    static const char  prefix[] = "application/cloudevents";

    ngx_eb_ce_trim(type, &media);

    start.data = media.data;
    start.len = ngx_min(media.len, sizeof(prefix) - 1);

    if (!ngx_eb_ce_lit(&start, prefix)) {
        return NGX_EB_CE_NONE;
    }

    return ngx_eb_ce_lit(&media, "application/cloudevents-batch+json")
               ? NGX_EB_CE_BATCH
           : ngx_eb_ce_lit(&media, "application/cloudevents+json")
               ? NGX_EB_CE_STRUCTURED
           : NGX_EB_CE_UNKNOWN;
}


ngx_uint_t
ngx_eb_ce_data(ngx_str_t *type)
{
    size_t     i;
    ngx_str_t  media, part, suffix;

    ngx_eb_ce_trim(type, &media);

    if (media.len == 0) {
        return NGX_EB_CE_DATA_UNKNOWN;
    }

    for (i = 0; i < media.len && media.data[i] != '/'; i++) { /* void */ }

    part.data = media.data;
    part.len = i;

    suffix.data = media.data + ngx_min(i + 1, media.len);
    suffix.len = media.data + media.len - suffix.data;

    for (i = suffix.len; i > 0; i--) {
        if (suffix.data[i - 1] == '+') {
            suffix.data += i;
            suffix.len -= i;
            break;
        }
    }

    if (ngx_eb_ce_lit(&suffix, "json")) {
        return NGX_EB_CE_DATA_JSON;
    }

    return (ngx_eb_ce_lit(&part, "text") || ngx_eb_ce_lit(&suffix, "xml"))
               ? NGX_EB_CE_DATA_TEXT
               : NGX_EB_CE_DATA_BINARY;
}


/* a media type without its parameters */

static void
ngx_eb_ce_trim(ngx_str_t *type, ngx_str_t *media)
{
    u_char  *p, *last;

    if (type->len == 0) {
        ngx_str_null(media);
        return;
    }

    p = type->data;
    last = p + type->len;

    while (p < last && *p != ';') {
        p++;
    }

    last = p;
    p = type->data;

    while (p < last && (*p == ' ' || *p == '\t')) {
        p++;
    }

    while (last > p && (last[-1] == ' ' || last[-1] == '\t')) {
        last--;
    }

    media->data = p;
    media->len = last - p;
}


/* whatever the case of letters; text is in lower case */

static ngx_uint_t
ngx_eb_ce_is(ngx_str_t *value, const char *text, size_t len)
{
    return value->len == len
           && (len == 0
               || ngx_strncasecmp(value->data, (u_char *) text, len) == 0);
}


ngx_int_t
ngx_eb_ce_split(ngx_eb_json_t *json, ngx_pool_t *pool, ngx_uint_t shape,
    ngx_uint_t max_events, ngx_eb_batch_t *batch)
{
    ngx_eb_event_t  *event;

    ngx_memzero(batch, sizeof(ngx_eb_batch_t));

    batch->shape = shape;

    if (shape == NGX_EB_BODY_CE_BATCH) {

        if (ngx_eb_json_type(json, 0) != '[') {
            batch->error = "a batch of CloudEvents is an array";
            batch->offset = json->pos[0];

            return NGX_DECLINED;
        }

        return ngx_eb_batch_items(json, pool, 0, max_events, ngx_eb_ce_read,
                                  batch);
    }

    event = ngx_palloc(pool, sizeof(ngx_eb_event_t));
    if (event == NULL) {
        return NGX_ERROR;
    }

    ngx_eb_event_init(json, 0, event);

    batch->events = event;
    batch->nevents = 1;

    return ngx_eb_ce_read(json, pool, 0, event);
}


ngx_int_t
ngx_eb_ce_read(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t node, ngx_eb_event_t *event)
{
    ngx_uint_t            i;
    ngx_str_t             name;
    ngx_eb_json_node_t    key, value;
    ngx_eb_ce_members_t   members;

    event->kind = NGX_EB_EVENT_CLOUDEVENT;

    if (ngx_eb_json_type(json, node) != '{') {
        event->invalid = "not an object";
        return NGX_OK;
    }

    event->node = node;
    event->metadata = node;

    /* NGX_EB_JSON_NONE is all ones */

    ngx_memset(members.node, 0xff, sizeof(members.node));
    members.nextensions = 0;

    for (key = ngx_eb_json_first(json, node);
         key != NGX_EB_JSON_NONE;
         key = ngx_eb_json_after(json, key + 2))
    {
        if (ngx_eb_ce_member(json, pool, key, &members, event) != NGX_OK) {
            return NGX_ERROR;
        }

        if (event->invalid) {
            return NGX_OK;
        }
    }

    for (i = 0; i < NGX_EB_CE_DATA; i++) {
        value = members.node[i];

        if (value != NGX_EB_JSON_NONE && ngx_eb_json_type(json, value) != 'n')
        {
            if (ngx_eb_ce_attribute(json, pool, i, value, event) != NGX_OK) {
                return NGX_ERROR;
            }

        } else if (i < NGX_EB_CE_REQUIRED) {
            return ngx_eb_ce_refuse(pool, &ngx_eb_ce_names[i], "is missing",
                                    event);
        }

        if (event->invalid) {
            return NGX_OK;
        }
    }

    value = members.node[NGX_EB_CE_DATA_BASE64];

    if (value != NGX_EB_JSON_NONE && ngx_eb_json_type(json, value) != 'n') {

        /* libraries that write every member they know write null for data */

        key = members.node[NGX_EB_CE_DATA];

        if (key != NGX_EB_JSON_NONE && ngx_eb_json_type(json, key) != 'n') {
            return ngx_eb_ce_refuse(pool,
                                    &ngx_eb_ce_names[NGX_EB_CE_DATA_BASE64],
                                    "excludes \"data\"", event);
        }

        if (ngx_eb_ce_base64(json, pool, value, event) != NGX_OK) {
            return NGX_ERROR;
        }

        if (event->invalid) {
            return NGX_OK;
        }
    }

    /* what the audit log shows of an event that says where it comes from */

    ngx_str_set(&name, "region");

    value = ngx_eb_json_member(json, node, &name);

    if (value != NGX_EB_JSON_NONE && ngx_eb_json_type(json, value) == '"') {
        return ngx_eb_event_string(json, pool, value, &event->region);
    }

    return NGX_OK;
}


/* files a member under its name; extensions are checked at once */

static ngx_int_t
ngx_eb_ce_member(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t key, ngx_eb_ce_members_t *members,
    ngx_eb_event_t *event)
{
    ngx_str_t   name, *known;
    ngx_uint_t  i;

    if (ngx_eb_event_string(json, pool, key, &name) != NGX_OK) {
        return NGX_ERROR;
    }

    i = ngx_eb_ce_name(&name);

    if (i != NGX_EB_CE_EXTENSION) {

        if (members->node[i] != NGX_EB_JSON_NONE) {
            return ngx_eb_ce_refuse(pool, &name, "is given twice", event);
        }

        members->node[i] = key + 2;

        return NGX_OK;
    }

    if (ngx_eb_ce_extension(json, pool, &name, key + 2, event) != NGX_OK) {
        return NGX_ERROR;
    }

    if (event->invalid) {
        return NGX_OK;
    }

    for (i = 0; i < members->nextensions; i++) {
        known = &members->extensions[i];

        if (known->len == name.len
            && ngx_memcmp(known->data, name.data, name.len) == 0)
        {
            return ngx_eb_ce_refuse(pool, &name, "is given twice", event);
        }
    }

    if (members->nextensions == NGX_EB_CE_MAX_EXTENSIONS) {
        return ngx_eb_ce_refuse(pool, &name, "is one too many", event);
    }

    members->extensions[members->nextensions++] = name;

    return NGX_OK;
}


static ngx_uint_t
ngx_eb_ce_name(ngx_str_t *name)
{
    ngx_uint_t  i;

    for (i = 0; i < NGX_EB_CE_EXTENSION; i++) {
        if (name->len == ngx_eb_ce_names[i].len
            && ngx_memcmp(name->data, ngx_eb_ce_names[i].data, name->len)
               == 0)
        {
            break;
        }
    }

    return i;
}


/* NULL: an attribute may have this name */

static const char *
ngx_eb_ce_misnamed(ngx_str_t *name)
{
    size_t  i;

    for (i = 0; i < name->len; i++) {
        if (!ngx_eb_ce_digit(name->data[i])
            && !(name->data[i] >= 'a' && name->data[i] <= 'z'))
        {
            return "has a name that is not of lower case letters and digits";
        }
    }

    return i ? NULL : "has no name";
}


static ngx_int_t
ngx_eb_ce_extension(ngx_eb_json_t *json, ngx_pool_t *pool, ngx_str_t *name,
    ngx_eb_json_node_t value, ngx_eb_event_t *event)
{
    ngx_str_t    text;
    ngx_int_t    n;
    ngx_uint_t   minus;
    const char  *why;

    why = ngx_eb_ce_misnamed(name);

    if (why) {
        return ngx_eb_ce_refuse(pool, name, why, event);
    }

    switch (ngx_eb_json_type(json, value)) {

    case '"':
        if (ngx_eb_event_string(json, pool, value, &text) != NGX_OK) {
            return NGX_ERROR;
        }

        why = ngx_eb_ce_text(&text);

        return why ? ngx_eb_ce_refuse(pool, name, why, event) : NGX_OK;

    case '0':
        ngx_eb_json_raw(json, value, &text);

        minus = (text.data[0] == '-');
        n = (text.len - minus > 10) ? NGX_ERROR
                                    : ngx_atoi(text.data + minus,
                                               text.len - minus);

        if (n != NGX_ERROR
            && (int64_t) n <= (int64_t) 0x7fffffff + (int64_t) minus)
        {
            return NGX_OK;
        }

        return ngx_eb_ce_refuse(pool, name, "is not an integer of 32 bits",
                                event);

    case 't':
    case 'f':
    case 'n':
        return NGX_OK;

    default:
        return ngx_eb_ce_refuse(pool, name, "is neither a string nor a number "
                                "nor a boolean", event);
    }
}


/* one of those before NGX_EB_CE_DATA: all of them are strings */

static ngx_int_t
ngx_eb_ce_attribute(ngx_eb_json_t *json, ngx_pool_t *pool, ngx_uint_t name,
    ngx_eb_json_node_t value, ngx_eb_event_t *event)
{
    ngx_str_t    text;
    const char  *why;

    if (ngx_eb_json_type(json, value) != '"') {
        return ngx_eb_ce_refuse(pool, &ngx_eb_ce_names[name],
                                "is not a string", event);
    }

    if (ngx_eb_event_string(json, pool, value, &text) != NGX_OK) {
        return NGX_ERROR;
    }

    if (text.len == 0) {
        return ngx_eb_ce_refuse(pool, &ngx_eb_ce_names[name], "is empty",
                                event);
    }

    why = ngx_eb_ce_text(&text);

    if (why == NULL) {
        why = ngx_eb_ce_wrong(name, &text);
    }

    if (why) {
        return ngx_eb_ce_refuse(pool, &ngx_eb_ce_names[name], why, event);
    }

    switch (name) {

    case NGX_EB_CE_ID:
        event->id = text;
        break;

    case NGX_EB_CE_SOURCE:
        event->source = text;
        break;

    case NGX_EB_CE_TYPE:
        event->type = text;
        break;

    case NGX_EB_CE_TIME:
        event->time = ngx_eb_time_parse(text.data, text.len);
        break;
    }

    return NGX_OK;
}


/* NULL: it is as it should be */

static const char *
ngx_eb_ce_wrong(ngx_uint_t name, ngx_str_t *value)
{
    switch (name) {

    case NGX_EB_CE_SPECVERSION:
        return (value->len == 3 && ngx_memcmp(value->data, "1.0", 3) == 0)
                   ? NULL : "is not \"1.0\"";

    case NGX_EB_CE_SOURCE:
        return ngx_eb_ce_uri(value, 0) ? NULL : "is not a URI reference";

    case NGX_EB_CE_DATASCHEMA:
        return ngx_eb_ce_uri(value, 1) ? NULL : "is not an absolute URI";

    case NGX_EB_CE_TIME:
        return ngx_eb_ce_time(value) ? NULL : "is not a time as in RFC 3339";

    case NGX_EB_CE_DATACONTENTTYPE:
        return ngx_eb_ce_media(value) ? NULL : "is not a media type";

    default:
        return NULL;
    }
}


static ngx_int_t
ngx_eb_ce_base64(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_eb_json_node_t value, ngx_eb_event_t *event)
{
    u_char       ch;
    size_t       i, len;
    ngx_str_t    text, *name;

    name = &ngx_eb_ce_names[NGX_EB_CE_DATA_BASE64];

    if (ngx_eb_json_type(json, value) != '"') {
        return ngx_eb_ce_refuse(pool, name, "is not a string", event);
    }

    if (ngx_eb_event_string(json, pool, value, &text) != NGX_OK) {
        return NGX_ERROR;
    }

    len = text.len;

    if (len % 4 == 0) {

        for (i = 0; i < 2 && len && text.data[len - 1] == '='; i++) {
            len--;
        }

        for (i = 0; i < len; i++) {
            ch = text.data[i];

            if (!ngx_eb_ce_alpha(ch) && !ngx_eb_ce_digit(ch) && ch != '+'
                && ch != '/')
            {
                break;
            }
        }

        if (i == len) {
            return NGX_OK;
        }
    }

    return ngx_eb_ce_refuse(pool, name, "is not Base64", event);
}


static ngx_int_t
ngx_eb_ce_refuse(ngx_pool_t *pool, ngx_str_t *name, const char *why,
    ngx_eb_event_t *event)
{
    event->invalid = ngx_eb_ce_reason(pool, name, why);

    return event->invalid ? NGX_OK : NGX_ERROR;
}


const char *
ngx_eb_ce_reason(ngx_pool_t *pool, ngx_str_t *name, const char *why)
{
    u_char  *p, *text, ch;
    size_t   i, len;

    len = ngx_min(name->len, NGX_EB_CE_MAX_NAME);

    text = ngx_pnalloc(pool, len + ngx_strlen(why)
                             + sizeof("attribute \"\" "));
    if (text == NULL) {
        return NULL;
    }

    p = ngx_cpymem(text, "attribute \"", sizeof("attribute \"") - 1);

    /* a hostile name may have anything in it, a NUL too */

    for (i = 0; i < len; i++) {
        ch = name->data[i];
        *p++ = (ch > ' ' && ch < 0x7f && ch != '"') ? ch : '?';
    }

    *p++ = '"';
    *p++ = ' ';

    ngx_memcpy(p, why, ngx_strlen(why) + 1);

    return (const char *) text;
}


ngx_uint_t
ngx_eb_ce_usable(ngx_str_t *value)
{
    return value->len && ngx_eb_ce_text(value) == NULL;
}


/* the type String: NULL, or what it must not have */

static const char *
ngx_eb_ce_text(ngx_str_t *value)
{
    u_char    *p, *last;
    uint32_t   u;

    p = value->data;
    last = p + value->len;

    while (p < last) {

        if (*p >= ' ' && *p < 0x7f) {
            p++;
            continue;
        }

        u = (*p < 0x80) ? *p : ngx_utf8_decode(&p, last - p);

        if (u < 0xa0) {
            return "has a control character";
        }

        /* what is no UTF-8 is larger than all that is */

        if (u > 0x10ffff) {
            return "is not UTF-8";
        }

        if (u >= 0xd800 && u <= 0xdfff) {
            return "has half of a surrogate pair";
        }

        if ((u & 0xfffe) == 0xfffe || (u >= 0xfdd0 && u <= 0xfdef)) {
            return "has a noncharacter";
        }
    }

    return NULL;
}


/*
 * The characters of RFC 3986, and those of other scripts (RFC 3987), for there
 * are senders that write them.
 */

static ngx_uint_t
ngx_eb_ce_uri(ngx_str_t *value, ngx_uint_t absolute)
{
    u_char      *p, *last;
    ngx_uint_t   fragment;

    p = value->data;
    last = p + value->len;

    if (absolute) {

        if (p == last || !ngx_eb_ce_alpha(*p)) {
            return 0;
        }

        while (p < last
               && (ngx_eb_ce_alpha(*p) || ngx_eb_ce_digit(*p) || *p == '+'
                   || *p == '-' || *p == '.'))
        {
            p++;
        }

        if (p == last || *p != ':') {
            return 0;
        }
    }

    fragment = 0;

    for ( /* void */ ; p < last; p++) {

        if (ngx_eb_ce_alpha(*p) || ngx_eb_ce_digit(*p) || *p >= 0x80) {
            continue;
        }

        switch (*p) {

        case '%':
            if (last - p < 3 || !ngx_eb_ce_hex(p[1]) || !ngx_eb_ce_hex(p[2])) {
                return 0;
            }

            p += 2;
            break;

        case '#':
            if (fragment++) {
                return 0;
            }

            break;

        case '-': case '.': case '_': case '~': case ':': case '/': case '?':
        case '[': case ']': case '@': case '!': case '$': case '&': case '\'':
        case '(': case ')': case '*': case '+': case ',': case ';': case '=':
            break;

        default:
            return 0;
        }
    }

    return 1;
}


static ngx_uint_t
ngx_eb_ce_time(ngx_str_t *value)
{
    u_char      buf[NGX_EB_CE_MAX_TIME];
    size_t      i;
    ngx_int_t   year;

    if (value->len < sizeof("yyyy-mm-ddThh:mm:ssZ") - 1
        || value->len > sizeof(buf)
        || value->data[4] != '-' || (value->data[10] | 0x20) != 't')
    {
        return 0;
    }

    for (i = 0; i < 4; i++) {
        if (!ngx_eb_ce_digit(value->data[i])) {
            return 0;
        }
    }

    /*
     * Our clock begins in 1970, the calendar does not: it is the same 2,000
     * years later
     */

    ngx_memcpy(buf, value->data, value->len);

    year = ngx_atoi(buf, 4);

    if (year <= 1970) {
        ngx_sprintf(buf, "%04i", year + 2000);
        buf[4] = '-';
    }

    return ngx_eb_time_parse(buf, value->len) != NGX_EB_TIME_UNKNOWN;
}


/* type "/" subtype, and parameters, of which only their bytes are looked at */

static ngx_uint_t
ngx_eb_ce_media(ngx_str_t *value)
{
    u_char  *p, *last;
    size_t   n;

    p = value->data;
    last = p + value->len;

    n = ngx_eb_ce_token(p, last);
    p += n;

    if (n == 0 || p == last || *p != '/') {
        return 0;
    }

    n = ngx_eb_ce_token(++p, last);
    p += n;

    if (n == 0) {
        return 0;
    }

    while (p < last && *p == ' ') {
        p++;
    }

    if (p < last && *p != ';') {
        return 0;
    }

    /* it becomes a header as it is */

    for ( /* void */ ; p < last; p++) {
        if (*p >= 0x80) {
            return 0;
        }
    }

    return 1;
}


static size_t
ngx_eb_ce_token(u_char *p, u_char *last)
{
    u_char  *start;

    start = p;

    while (p < last
           && (ngx_eb_ce_alpha(*p) || ngx_eb_ce_digit(*p)
               || (*p && ngx_strchr("!#$%&'*+-.^_`|~", *p))))
    {
        p++;
    }

    return p - start;
}


ngx_int_t
ngx_eb_ce_header(ngx_str_t *name, ngx_str_t *value, ngx_pool_t *pool,
    ngx_eb_out_t *out, const char **why)
{
    u_char      *dst;
    ngx_str_t    decoded;
    ngx_uint_t   i;

    i = ngx_eb_ce_name(name);

    if (i == NGX_EB_CE_DATACONTENTTYPE) {
        *why = "is the Content-Type of the request";
        return NGX_DECLINED;
    }

    if (i == NGX_EB_CE_DATA || i == NGX_EB_CE_DATA_BASE64) {
        *why = "is not a header";
        return NGX_DECLINED;
    }

    *why = ngx_eb_ce_misnamed(name);

    if (*why) {
        return NGX_DECLINED;
    }

    dst = ngx_pnalloc(pool, value->len + 1);
    if (dst == NULL) {
        return NGX_ERROR;
    }

    *why = ngx_eb_ce_decode(value, dst, &decoded);

    if (*why == NULL) {
        *why = ngx_eb_ce_text(&decoded);
    }

    /*
     * Many senders do not encode what they put into headers.  A URI that makes
     * sense only as it stands is meant as it stands.
     */

    if ((i == NGX_EB_CE_SOURCE || i == NGX_EB_CE_DATASCHEMA)
        && (*why || !ngx_eb_ce_uri(&decoded, 0))
        && ngx_eb_ce_text(value) == NULL && ngx_eb_ce_uri(value, 0))
    {
        decoded = *value;
        *why = NULL;
    }

    if (*why) {
        return NGX_DECLINED;
    }

    ngx_eb_out_string(out, name, name->len);
    ngx_eb_out_lit(out, ":");
    ngx_eb_out_string(out, &decoded, decoded.len);
    ngx_eb_out_lit(out, ",");

    return NGX_OK;
}


ngx_int_t
ngx_eb_ce_embed(ngx_pool_t *pool, ngx_str_t *head, ngx_str_t *data,
    ngx_uint_t kind, ngx_str_t *text)
{
    size_t         size;
    ngx_str_t      coded;
    ngx_eb_out_t   out;

    size = data->len;

    if (kind == NGX_EB_CE_DATA_TEXT && size
        && !ngx_eb_ce_text_size(data, &size))
    {
        kind = NGX_EB_CE_DATA_BINARY;
    }

    if (kind == NGX_EB_CE_DATA_BINARY) {
        size = ngx_base64_encoded_length(data->len);
    }

    size += head->len + sizeof("\"data_base64\":\"\"}");

    text->data = ngx_pnalloc(pool, size);
    if (text->data == NULL) {
        return NGX_ERROR;
    }

    ngx_eb_out_init(&out, text->data, size);

    ngx_eb_out_raw(&out, head->data, head->len);

    if (data->len == 0) {
        /* in place of the last comma */
        out.pos--;

    } else if (kind == NGX_EB_CE_DATA_BINARY) {
        ngx_eb_out_lit(&out, "\"data_base64\":\"");

        coded.data = out.pos;
        ngx_encode_base64(&coded, data);
        out.pos += coded.len;

        ngx_eb_out_lit(&out, "\"");

    } else {
        ngx_eb_out_lit(&out, "\"data\":");

        if (kind == NGX_EB_CE_DATA_TEXT) {
            ngx_eb_out_string(&out, data, data->len);

        } else {
            ngx_eb_out_raw(&out, data->data, data->len);
        }
    }

    ngx_eb_out_lit(&out, "}");

    text->len = out.pos - text->data;

    return out.truncated ? NGX_ERROR : NGX_OK;
}


/* is it UTF-8, and how long is it as a JSON string, without its quotes? */

static ngx_uint_t
ngx_eb_ce_text_size(ngx_str_t *data, size_t *size)
{
    u_char    *p, *last;
    uint32_t   u;

    p = data->data;
    last = p + data->len;

    *size = data->len;

    while (p < last) {

        if (*p >= 0x80) {
            u = ngx_utf8_decode(&p, last - p);

            if (u > 0x10ffff || (u >= 0xd800 && u <= 0xdfff)) {
                return 0;
            }

            continue;
        }

        /* an escape adds one byte, or five */

        if (*p < ' ' || *p == 0x7f) {
            *size += 5;

        } else if (*p == '"' || *p == '\\') {
            *size += 1;
        }

        p++;
    }

    return 1;
}


/*
 * Section 3.1.3.2 of the HTTP binding: a quoted string is what it quotes, as
 * older versions of the specification have it, and then one round of percent-
 * decoding.  dst has room for value.  NULL, or what is wrong.
 */

static const char *
ngx_eb_ce_decode(ngx_str_t *value, u_char *dst, ngx_str_t *decoded)
{
    u_char     *p, *last, *to;
    ngx_int_t   n;

    p = value->data;
    last = p + value->len;
    to = dst;

    if (value->len >= 2 && p[0] == '"' && last[-1] == '"') {

        for (p++, last--; p < last; p++) {

            if (*p == '"' || (*p == '\\' && ++p == last)) {
                return "is a quoted string that ends too early";
            }

            *to++ = *p;
        }

    } else if (value->len) {
        to = ngx_cpymem(dst, p, value->len);
    }

    last = to;
    decoded->data = dst;

    for (p = dst, to = dst; p < last; p++) {

        if (*p != '%') {
            *to++ = *p;
            continue;
        }

        n = (last - p < 3) ? NGX_ERROR : ngx_hextoi(p + 1, 2);

        if (n == NGX_ERROR) {
            return "has a percent sign without two hexadecimal digits";
        }

        *to++ = (u_char) n;
        p += 2;
    }

    decoded->len = to - dst;

    return NULL;
}

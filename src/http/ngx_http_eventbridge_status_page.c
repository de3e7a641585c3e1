
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The page of eventbridge_status, for people: made of its JSON document,
 * whatever members that has.  Objects are lists of facts, arrays of objects
 * are tables, and the objects of arrays that have arrays in them are parts of
 * their own.  It is well-formed XML too, and has no script.
 */


#include "ngx_http_eventbridge_status.h"


/* members of the objects in a table: the others have no column */
#define NGX_HTTP_EVENTBRIDGE_PAGE_COLUMNS  32

/* what it has around the document, and what it makes of a byte of that */
#define NGX_HTTP_EVENTBRIDGE_PAGE_SIZE     8192
#define NGX_HTTP_EVENTBRIDGE_PAGE_GROWTH   4

/* of lengths of time */
#define NGX_HTTP_EVENTBRIDGE_PAGE_UNITS    4


typedef enum {
    NGX_HTTP_EVENTBRIDGE_PAGE_COUNT = 0,
    NGX_HTTP_EVENTBRIDGE_PAGE_PLAIN,    /* digits as they are */
    NGX_HTTP_EVENTBRIDGE_PAGE_SECONDS,
    NGX_HTTP_EVENTBRIDGE_PAGE_BYTES,
    NGX_HTTP_EVENTBRIDGE_PAGE_TIME      /* RFC 3339 */
} ngx_http_eventbridge_page_unit_e;


/* when a value asks for attention */

typedef enum {
    NGX_HTTP_EVENTBRIDGE_PAGE_NEVER = 0,
    NGX_HTTP_EVENTBRIDGE_PAGE_FALSE,
    NGX_HTTP_EVENTBRIDGE_PAGE_SOME      /* neither false nor 0 */
} ngx_http_eventbridge_page_alarm_e;


/* members that are not shown as their names and values alone would be */

typedef struct {
    ngx_str_t                          name;
    const char                        *label;   /* NULL: made of the name */
    ngx_http_eventbridge_page_unit_e   unit;
    ngx_http_eventbridge_page_alarm_e  alarm;
} ngx_http_eventbridge_page_member_t;


typedef struct {
    ngx_uint_t                         size;
    const char                        *name;
} ngx_http_eventbridge_page_unit_t;


typedef struct {
    ngx_http_request_t                *request;
    ngx_eb_json_t                      json;
    ngx_eb_out_t                      *out;
    ngx_uint_t                         refresh;
    ngx_uint_t                         failed;  /* no memory */
} ngx_http_eventbridge_page_t;


static void ngx_http_eventbridge_page_write(ngx_eb_out_t *out, void *data);
static void ngx_http_eventbridge_page_head(ngx_http_eventbridge_page_t *page);
static void ngx_http_eventbridge_page_section(
    ngx_http_eventbridge_page_t *page, ngx_str_t *name,
    ngx_eb_json_node_t value);
static ngx_uint_t ngx_http_eventbridge_page_nested(
    ngx_http_eventbridge_page_t *page, ngx_eb_json_node_t array);
static void ngx_http_eventbridge_page_part(ngx_http_eventbridge_page_t *page,
    ngx_eb_json_node_t object);
static ngx_uint_t ngx_http_eventbridge_page_title(ngx_str_t *name);
static void ngx_http_eventbridge_page_facts(ngx_http_eventbridge_page_t *page,
    ngx_eb_json_node_t key);
static void ngx_http_eventbridge_page_table(ngx_http_eventbridge_page_t *page,
    ngx_eb_json_node_t array);
static ngx_uint_t ngx_http_eventbridge_page_columns(
    ngx_http_eventbridge_page_t *page, ngx_eb_json_node_t array,
    ngx_str_t *columns);
static void ngx_http_eventbridge_page_content(
    ngx_http_eventbridge_page_t *page, ngx_str_t *name,
    ngx_eb_json_node_t value);
static void ngx_http_eventbridge_page_value(ngx_http_eventbridge_page_t *page,
    ngx_str_t *name, ngx_eb_json_node_t value);
static void ngx_http_eventbridge_page_pairs(ngx_http_eventbridge_page_t *page,
    ngx_eb_json_node_t object);
static void ngx_http_eventbridge_page_number(ngx_http_eventbridge_page_t *page,
    ngx_http_eventbridge_page_unit_e unit, ngx_str_t *digits);
static void ngx_http_eventbridge_page_seconds(ngx_eb_out_t *out,
    ngx_int_t seconds);
static void ngx_http_eventbridge_page_bytes(ngx_eb_out_t *out,
    ngx_str_t *digits);
static void ngx_http_eventbridge_page_time(ngx_eb_out_t *out,
    ngx_str_t *value);
static ngx_uint_t ngx_http_eventbridge_page_alarm(
    ngx_http_eventbridge_page_t *page, ngx_str_t *name,
    ngx_eb_json_node_t value);
static ngx_uint_t ngx_http_eventbridge_page_some(ngx_str_t *raw);
static ngx_http_eventbridge_page_member_t *ngx_http_eventbridge_page_member(
    ngx_str_t *name);
static void ngx_http_eventbridge_page_label(ngx_eb_out_t *out,
    ngx_str_t *name);
static void ngx_http_eventbridge_page_string(
    ngx_http_eventbridge_page_t *page, ngx_eb_json_node_t node);
static void ngx_http_eventbridge_page_escape(ngx_eb_out_t *out,
    ngx_str_t *text);
static void ngx_http_eventbridge_page_text(ngx_eb_out_t *out,
    const char *text);


static ngx_http_eventbridge_page_member_t
    ngx_http_eventbridge_page_members[] =
{
    { ngx_string("node"), "This node", 0, 0 },
    { ngx_string("down"), "Destinations that are down", 0, 0 },
    { ngx_string("outbox"), "Outbox of callbacks", 0, 0 },
    { ngx_string("subscriptions"), "Declared subscriptions", 0, 0 },

    { ngx_string("up"), "Accepts events", 0,
      NGX_HTTP_EVENTBRIDGE_PAGE_FALSE },
    { ngx_string("exiting"), NULL, 0, NGX_HTTP_EVENTBRIDGE_PAGE_SOME },
    { ngx_string("usable"), NULL, 0, NGX_HTTP_EVENTBRIDGE_PAGE_FALSE },
    { ngx_string("answers"), "API answers", 0,
      NGX_HTTP_EVENTBRIDGE_PAGE_FALSE },
    { ngx_string("active"), NULL, 0, NGX_HTTP_EVENTBRIDGE_PAGE_FALSE },
    { ngx_string("startedEmptyAfterDamage"), NULL, 0,
      NGX_HTTP_EVENTBRIDGE_PAGE_SOME },
    { ngx_string("tokenFailures"), NULL, 0, NGX_HTTP_EVENTBRIDGE_PAGE_SOME },
    { ngx_string("failures"), "Failures since it was fine", 0,
      NGX_HTTP_EVENTBRIDGE_PAGE_SOME },
    { ngx_string("deadLettersWaiting"), NULL, 0,
      NGX_HTTP_EVENTBRIDGE_PAGE_SOME },
    { ngx_string("buried"), "Dead ones in the file", 0,
      NGX_HTTP_EVENTBRIDGE_PAGE_SOME },
    { ngx_string("auditDropped"), NULL, 0, NGX_HTTP_EVENTBRIDGE_PAGE_SOME },
    { ngx_string("auditErrors"), NULL, 0, NGX_HTTP_EVENTBRIDGE_PAGE_SOME },
    { ngx_string("seriesOverflow"), NULL, 0, NGX_HTTP_EVENTBRIDGE_PAGE_SOME },

    { ngx_string("pid"), "Process", NGX_HTTP_EVENTBRIDGE_PAGE_PLAIN, 0 },
    { ngx_string("lastFailureStatus"), NULL,
      NGX_HTTP_EVENTBRIDGE_PAGE_PLAIN, 0 },
    { ngx_string("uptime"), NULL, NGX_HTTP_EVENTBRIDGE_PAGE_SECONDS, 0 },
    { ngx_string("window"), NULL, NGX_HTTP_EVENTBRIDGE_PAGE_SECONDS, 0 },
    { ngx_string("effectiveWindow"), NULL,
      NGX_HTTP_EVENTBRIDGE_PAGE_SECONDS, 0 },
    { ngx_string("lag"), NULL, NGX_HTTP_EVENTBRIDGE_PAGE_SECONDS, 0 },
    { ngx_string("oldestAge"), "Age of the oldest",
      NGX_HTTP_EVENTBRIDGE_PAGE_SECONDS, 0 },
    { ngx_string("tokenAge"), NULL, NGX_HTTP_EVENTBRIDGE_PAGE_SECONDS, 0 },
    { ngx_string("tokenLifetime"), NULL,
      NGX_HTTP_EVENTBRIDGE_PAGE_SECONDS, 0 },
    { ngx_string("meanDuration"), NULL,
      NGX_HTTP_EVENTBRIDGE_PAGE_SECONDS, 0 },
    { ngx_string("bytes"), NULL, NGX_HTTP_EVENTBRIDGE_PAGE_BYTES, 0 },
    { ngx_string("deliveryBytes"), NULL, NGX_HTTP_EVENTBRIDGE_PAGE_BYTES, 0 },

    { ngx_string("time"), NULL, NGX_HTTP_EVENTBRIDGE_PAGE_TIME, 0 },
    { ngx_string("started"), NULL, NGX_HTTP_EVENTBRIDGE_PAGE_TIME, 0 },
    { ngx_string("configured"), NULL, NGX_HTTP_EVENTBRIDGE_PAGE_TIME, 0 },
    { ngx_string("checked"), NULL, NGX_HTTP_EVENTBRIDGE_PAGE_TIME, 0 },
    { ngx_string("lastFailure"), NULL, NGX_HTTP_EVENTBRIDGE_PAGE_TIME, 0 },
    { ngx_string("since"), NULL, NGX_HTTP_EVENTBRIDGE_PAGE_TIME,
      NGX_HTTP_EVENTBRIDGE_PAGE_SOME },
    { ngx_string("downSince"), NULL, NGX_HTTP_EVENTBRIDGE_PAGE_TIME,
      NGX_HTTP_EVENTBRIDGE_PAGE_SOME },

    { ngx_null_string, NULL, 0, 0 }
};


static ngx_http_eventbridge_page_unit_t
    ngx_http_eventbridge_page_units[NGX_HTTP_EVENTBRIDGE_PAGE_UNITS] =
{
    { 86400, " d" },
    { 3600, " h" },
    { 60, " min" },
    { 1, " s" }
};


/*
 * The header allows this style sheet alone, by its digest: whoever changes the
 * one has to change the other, and t/80_status.t says how.
 */

static const char  ngx_http_eventbridge_page_style[] =
    ":root{color-scheme:light dark;--bg:#f5f6f8;--card:#fff;--ink:#1b1f24;"
        "--dim:#59636e;--line:#d5dae0;--good:#11632f;--warn:#7d4e00;"
        "--bad:#b3141d}"
    "@media(prefers-color-scheme:dark){:root{--bg:#0e1116;--card:#171b22;"
        "--ink:#e7ebf0;--dim:#9aa5b1;--line:#303842;--good:#5fd38b;"
        "--warn:#f2bd4b;--bad:#ff8a85}}"
    "*{box-sizing:border-box}"
    "body{margin:0 auto;max-width:80rem;padding:1rem;background:var(--bg);"
        "color:var(--ink);font:1rem/1.45 system-ui,sans-serif}"
    "header{display:flex;flex-wrap:wrap;gap:.5rem 1rem;align-items:baseline;"
        "justify-content:space-between}"
    "h1{font-size:1.4rem;margin:.2rem 0}h2{font-size:1.1rem;margin:0 0 .6rem}"
    "h3{font-size:1rem;margin:0 0 .6rem;overflow-wrap:anywhere}"
    "h4{font-size:.9rem;margin:1rem 0 .3rem;color:var(--dim)}"
    "section{background:var(--card);border:1px solid var(--line);"
        "border-radius:.5rem;padding:1rem;margin:1rem 0}"
    "article{border-top:1px solid var(--line);padding-top:.8rem;"
        "margin-top:1rem}"
    "h2+article{border:0;padding:0;margin:0}"
    "dl{display:grid;grid-template-columns:repeat(auto-fill,"
        "minmax(10rem,1fr));gap:.6rem 1rem;margin:0}"
    "dt{color:var(--dim);font-size:.8rem}"
    "dd{margin:0;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}"
    ".scroll{overflow-x:auto}"
    "table{border-collapse:collapse;width:100%;font-size:.9rem}"
    "th,td{text-align:left;padding:.35rem .7rem .35rem 0;vertical-align:top;"
        "border-bottom:1px solid var(--line);"
        "font-variant-numeric:tabular-nums}"
    "th{color:var(--dim);font-weight:500;font-size:.8rem}"
    "tr:last-child td{border-bottom:0}"
    ".healthy{color:var(--good)}.degraded{color:var(--warn)}"
    ".unhealthy,.bad{color:var(--bad)}"
    ".none,footer{color:var(--dim);margin:0}a{color:inherit}"
    "@media(max-width:45rem){body{padding:.6rem}thead{display:none}"
        "table,tbody,tr,td{display:block}"
        "tr{border-bottom:1px solid var(--line);padding:.5rem 0}"
        "tr:last-child{border:0}"
        "td{display:flex;justify-content:space-between;gap:1rem;border:0;"
        "padding:.1rem 0;overflow-wrap:anywhere;text-align:right}"
        "td::before{content:attr(data-label);color:var(--dim);"
        "text-align:left}}";

static ngx_str_t  ngx_http_eventbridge_page_policy =
    ngx_string("default-src 'none'; "
               "style-src "
               "'sha256-mxl/x/E01wAsaeMA9tAQbzQh1L8D3m68s/MKxjeu2aE='; "
               "base-uri 'none'; form-action 'none'; frame-ancestors 'none'");


ngx_int_t
ngx_http_eventbridge_status_page(ngx_http_request_t *r,
    ngx_eb_json_parser_t *parser, ngx_str_t *doc, ngx_str_t *text)
{
    ngx_str_t                    value;
    ngx_eb_json_error_t          err;
    ngx_http_eventbridge_page_t  page;

    ngx_memzero(&page, sizeof(ngx_http_eventbridge_page_t));

    page.request = r;

    if (ngx_http_arg(r, (u_char *) "refresh", sizeof("refresh") - 1, &value)
        == NGX_OK)
    {
        page.refresh = (value.len == 1 && value.data[0] == '5');
    }

    if (ngx_eb_json_parse(parser, doc->data, doc->len,
                          NGX_HTTP_EVENTBRIDGE_STATUS_DEPTH, &page.json, &err)
        != NGX_OK)
    {
        ngx_log_error(NGX_LOG_ERR, r->connection->log, 0,
                      "eventbridge: page of eventbridge_status: %s at %uz",
                      ngx_eb_json_strerror(err.code), err.offset);
        return NGX_ERROR;
    }

    if (ngx_http_eventbridge_status_text(r->pool,
                                         NGX_HTTP_EVENTBRIDGE_PAGE_SIZE
                                         + NGX_HTTP_EVENTBRIDGE_PAGE_GROWTH
                                           * doc->len,
                                         ngx_http_eventbridge_page_write,
                                         &page, text)
        != NGX_OK
        || page.failed)
    {
        return NGX_ERROR;
    }

    if (ngx_http_eventbridge_out_header(r, "Content-Security-Policy",
                                        &ngx_http_eventbridge_page_policy)
        != NGX_OK)
    {
        return NGX_ERROR;
    }

    ngx_str_set(&value, "nosniff");

    return ngx_http_eventbridge_out_header(r, "X-Content-Type-Options",
                                           &value);
}


static void
ngx_http_eventbridge_page_write(ngx_eb_out_t *out, void *data)
{
    ngx_http_eventbridge_page_t *page = data;

    u_char              ch;
    ngx_str_t           name;
    ngx_eb_json_node_t  key;

    page->out = out;

    ngx_http_eventbridge_page_head(page);

    for (key = ngx_eb_json_first(&page->json, 0);
         key != NGX_EB_JSON_NONE;
         key = ngx_eb_json_after(&page->json, key + 2))
    {
        (void) ngx_eb_json_string_raw(&page->json, key, &name);
        ch = ngx_eb_json_type(&page->json, key + 2);

        /* of what is no list only the verdict is there, above */

        if (ch == '{' || ch == '[') {
            ngx_http_eventbridge_page_section(page, &name, key + 2);
        }
    }

    ngx_eb_out_lit(out, "</main>\n<footer>Times are in UTC. Counters go on "
                        "over reloads and restarts.</footer>\n"
                        "</body>\n</html>\n");
}


static void
ngx_http_eventbridge_page_head(ngx_http_eventbridge_page_t *page)
{
    ngx_str_t            name, node;
    ngx_eb_out_t        *out;
    ngx_eb_json_node_t   status, host;

    out = page->out;

    ngx_str_set(&name, "status");
    status = ngx_eb_json_member(&page->json, 0, &name);

    ngx_str_set(&node, "node");
    ngx_str_set(&name, "host");
    host = ngx_eb_json_member(&page->json,
                              ngx_eb_json_member(&page->json, 0, &node),
                              &name);

    ngx_eb_out_lit(out, "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
                        "<meta charset=\"utf-8\"/>\n"
                        "<meta name=\"viewport\" "
                        "content=\"width=device-width, initial-scale=1\"/>\n"
                        "<meta name=\"referrer\" content=\"no-referrer\"/>\n");

    if (page->refresh) {
        ngx_eb_out_lit(out, "<meta http-equiv=\"refresh\" content=\"5\"/>\n");
    }

    ngx_eb_out_lit(out, "<title>");
    ngx_http_eventbridge_page_string(page, status);
    ngx_eb_out_lit(out, ": ");
    ngx_http_eventbridge_page_string(page, host);
    ngx_eb_out_lit(out, "</title>\n<style>");
    ngx_http_eventbridge_page_text(out, ngx_http_eventbridge_page_style);
    ngx_eb_out_lit(out, "</style>\n</head>\n<body>\n<header>\n<h1><bdi>");
    ngx_http_eventbridge_page_string(page, host);
    ngx_eb_out_lit(out, "</bdi>: <span class=\"");
    ngx_http_eventbridge_page_string(page, status);
    ngx_eb_out_lit(out, "\">");
    ngx_http_eventbridge_page_string(page, status);
    ngx_eb_out_lit(out, "</span></h1>\n");
    ngx_http_eventbridge_page_text(out, page->refresh
                       ? "<a href=\"?\">Stop the refresh</a>\n"
                       : "<a href=\"?refresh=5\">Refresh every 5 s</a>\n");
    ngx_eb_out_lit(out, "</header>\n<main>\n");
}


static void
ngx_http_eventbridge_page_section(ngx_http_eventbridge_page_t *page,
    ngx_str_t *name, ngx_eb_json_node_t value)
{
    ngx_eb_out_t        *out;
    ngx_eb_json_node_t   row;

    out = page->out;

    ngx_eb_out_lit(out, "<section>\n<h2>");
    ngx_http_eventbridge_page_label(out, name);
    ngx_eb_out_lit(out, "</h2>\n");

    if (ngx_eb_json_type(&page->json, value) == '{') {
        ngx_http_eventbridge_page_facts(page,
                                        ngx_eb_json_first(&page->json, value));

    } else if (ngx_http_eventbridge_page_nested(page, value)) {

        for (row = ngx_eb_json_first(&page->json, value);
             row != NGX_EB_JSON_NONE;
             row = ngx_eb_json_after(&page->json, row))
        {
            ngx_http_eventbridge_page_part(page, row);
        }

    } else {
        ngx_http_eventbridge_page_table(page, value);
    }

    ngx_eb_out_lit(out, "</section>\n");
}


/* are there arrays in its first object, and nothing but objects? */

static ngx_uint_t
ngx_http_eventbridge_page_nested(ngx_http_eventbridge_page_t *page,
    ngx_eb_json_node_t array)
{
    ngx_uint_t          nested;
    ngx_eb_json_node_t  row, key;

    nested = 0;

    for (row = ngx_eb_json_first(&page->json, array);
         row != NGX_EB_JSON_NONE;
         row = ngx_eb_json_after(&page->json, row))
    {
        if (ngx_eb_json_type(&page->json, row) != '{') {
            return 0;
        }

        for (key = ngx_eb_json_first(&page->json, row);
             key != NGX_EB_JSON_NONE;
             key = ngx_eb_json_after(&page->json, key + 2))
        {
            nested |= (ngx_eb_json_type(&page->json, key + 2) == '[');
        }
    }

    return nested;
}


/* its first strings are what it is called, and its arrays are tables */

static void
ngx_http_eventbridge_page_part(ngx_http_eventbridge_page_t *page,
    ngx_eb_json_node_t object)
{
    ngx_str_t            name;
    ngx_eb_out_t        *out;
    ngx_eb_json_node_t   key;

    out = page->out;

    ngx_eb_out_lit(out, "<article>\n<h3>");

    for (key = ngx_eb_json_first(&page->json, object);
         key != NGX_EB_JSON_NONE;
         key = ngx_eb_json_after(&page->json, key + 2))
    {
        (void) ngx_eb_json_string_raw(&page->json, key, &name);

        if (!ngx_http_eventbridge_page_title(&name)) {
            break;
        }

        ngx_http_eventbridge_page_value(page, &name, key + 2);
        ngx_eb_out_lit(out, " ");
    }

    ngx_eb_out_lit(out, "</h3>\n");

    ngx_http_eventbridge_page_facts(page, key);

    for (key = ngx_eb_json_first(&page->json, object);
         key != NGX_EB_JSON_NONE;
         key = ngx_eb_json_after(&page->json, key + 2))
    {
        if (ngx_eb_json_type(&page->json, key + 2) != '[') {
            continue;
        }

        (void) ngx_eb_json_string_raw(&page->json, key, &name);

        ngx_eb_out_lit(out, "<h4>");
        ngx_http_eventbridge_page_label(out, &name);
        ngx_eb_out_lit(out, "</h4>\n");
        ngx_http_eventbridge_page_table(page, key + 2);
    }

    ngx_eb_out_lit(out, "</article>\n");
}


static ngx_uint_t
ngx_http_eventbridge_page_title(ngx_str_t *name)
{
    ngx_uint_t  i;

    static ngx_str_t  titles[] = {
        ngx_string("server"),
        ngx_string("location"),
        ngx_string("name")
    };

    for (i = 0; i < sizeof(titles) / sizeof(ngx_str_t); i++) {
        if (ngx_http_eventbridge_same(&titles[i], name)) {
            return 1;
        }
    }

    return 0;
}


/* all members from key on but arrays */

static void
ngx_http_eventbridge_page_facts(ngx_http_eventbridge_page_t *page,
    ngx_eb_json_node_t key)
{
    ngx_str_t      name;
    ngx_eb_out_t  *out;

    out = page->out;

    ngx_eb_out_lit(out, "<dl>\n");

    for ( /* void */ ;
         key != NGX_EB_JSON_NONE;
         key = ngx_eb_json_after(&page->json, key + 2))
    {
        if (ngx_eb_json_type(&page->json, key + 2) == '[') {
            continue;
        }

        (void) ngx_eb_json_string_raw(&page->json, key, &name);

        ngx_eb_out_lit(out, "<div><dt>");
        ngx_http_eventbridge_page_label(out, &name);
        ngx_eb_out_lit(out, "</dt><dd");
        ngx_http_eventbridge_page_content(page, &name, key + 2);
        ngx_eb_out_lit(out, "</dd></div>\n");
    }

    ngx_eb_out_lit(out, "</dl>\n");
}


static void
ngx_http_eventbridge_page_table(ngx_http_eventbridge_page_t *page,
    ngx_eb_json_node_t array)
{
    ngx_str_t            columns[NGX_HTTP_EVENTBRIDGE_PAGE_COLUMNS];
    ngx_uint_t           i, n;
    ngx_eb_out_t        *out;
    ngx_eb_json_node_t   row, value;

    out = page->out;
    n = ngx_http_eventbridge_page_columns(page, array, columns);

    if (n == 0) {
        ngx_eb_out_lit(out, "<p class=\"none\">None.</p>\n");
        return;
    }

    ngx_eb_out_lit(out, "<div class=\"scroll\"><table>\n<thead><tr>");

    for (i = 0; i < n; i++) {
        ngx_eb_out_lit(out, "<th scope=\"col\">");
        ngx_http_eventbridge_page_label(out, &columns[i]);
        ngx_eb_out_lit(out, "</th>");
    }

    ngx_eb_out_lit(out, "</tr></thead>\n<tbody>\n");

    for (row = ngx_eb_json_first(&page->json, array);
         row != NGX_EB_JSON_NONE;
         row = ngx_eb_json_after(&page->json, row))
    {
        ngx_eb_out_lit(out, "<tr>");

        for (i = 0; i < n; i++) {

            value = (ngx_eb_json_type(&page->json, row) == '{')
                        ? ngx_eb_json_member(&page->json, row, &columns[i])
                        : NGX_EB_JSON_NONE;

            ngx_eb_out_lit(out, "<td data-label=\"");
            ngx_http_eventbridge_page_label(out, &columns[i]);
            ngx_eb_out_lit(out, "\"");
            ngx_http_eventbridge_page_content(page, &columns[i], value);
            ngx_eb_out_lit(out, "</td>");
        }

        ngx_eb_out_lit(out, "</tr>\n");
    }

    ngx_eb_out_lit(out, "</tbody>\n</table></div>\n");
}


/* the distinct members of its objects, in the order in which they appear */

static ngx_uint_t
ngx_http_eventbridge_page_columns(ngx_http_eventbridge_page_t *page,
    ngx_eb_json_node_t array, ngx_str_t *columns)
{
    ngx_str_t           name;
    ngx_uint_t          i, n;
    ngx_eb_json_node_t  row, key;

    n = 0;

    for (row = ngx_eb_json_first(&page->json, array);
         row != NGX_EB_JSON_NONE;
         row = ngx_eb_json_after(&page->json, row))
    {
        if (ngx_eb_json_type(&page->json, row) != '{') {
            continue;
        }

        for (key = ngx_eb_json_first(&page->json, row);
             key != NGX_EB_JSON_NONE;
             key = ngx_eb_json_after(&page->json, key + 2))
        {
            (void) ngx_eb_json_string_raw(&page->json, key, &name);

            for (i = 0; i < n; i++) {
                if (ngx_http_eventbridge_same(&columns[i], &name)) {
                    break;
                }
            }

            if (i == n && n < NGX_HTTP_EVENTBRIDGE_PAGE_COLUMNS) {
                columns[n++] = name;
            }
        }
    }

    return n;
}


/* the end of the tag of an element, and what is in it */

static void
ngx_http_eventbridge_page_content(ngx_http_eventbridge_page_t *page,
    ngx_str_t *name, ngx_eb_json_node_t value)
{
    ngx_eb_out_t  *out;

    out = page->out;

    if (!ngx_http_eventbridge_page_alarm(page, name, value)) {
        ngx_eb_out_lit(out, ">");
        ngx_http_eventbridge_page_value(page, name, value);
        return;
    }

    ngx_eb_out_lit(out, " class=\"bad\"><strong>"
                        "\xe2\x9a\xa0\xef\xb8\x8e ");
    ngx_http_eventbridge_page_value(page, name, value);
    ngx_eb_out_lit(out, "</strong>");
}


static void
ngx_http_eventbridge_page_value(ngx_http_eventbridge_page_t *page,
    ngx_str_t *name, ngx_eb_json_node_t value)
{
    ngx_str_t                            raw;
    ngx_eb_out_t                        *out;
    ngx_http_eventbridge_page_unit_e     unit;
    ngx_http_eventbridge_page_member_t  *member;

    out = page->out;

    if (value == NGX_EB_JSON_NONE) {
        ngx_eb_out_lit(out, "\xe2\x80\x93");
        return;
    }

    member = ngx_http_eventbridge_page_member(name);
    unit = member ? member->unit : NGX_HTTP_EVENTBRIDGE_PAGE_COUNT;

    ngx_eb_json_raw(&page->json, value, &raw);

    switch (ngx_eb_json_type(&page->json, value)) {

    case '"':

        if (unit == NGX_HTTP_EVENTBRIDGE_PAGE_TIME) {
            (void) ngx_eb_json_string_raw(&page->json, value, &raw);
            ngx_http_eventbridge_page_time(out, &raw);
            return;
        }

        ngx_eb_out_lit(out, "<bdi>");
        ngx_http_eventbridge_page_string(page, value);
        ngx_eb_out_lit(out, "</bdi>");
        return;

    case '0':
        ngx_http_eventbridge_page_number(page, unit, &raw);
        return;

    case 't':
        ngx_eb_out_lit(out, "yes");
        return;

    case 'f':
        ngx_eb_out_lit(out, "no");
        return;

    case 'n':
        ngx_eb_out_lit(out, "\xe2\x80\x93");
        return;

    case '{':
        ngx_http_eventbridge_page_pairs(page, value);
        return;

    default:
        ngx_http_eventbridge_page_escape(out, &raw);
    }
}


/* counters of one thing: those that are not 0 */

static void
ngx_http_eventbridge_page_pairs(ngx_http_eventbridge_page_t *page,
    ngx_eb_json_node_t object)
{
    ngx_str_t            name, raw;
    ngx_uint_t           n;
    ngx_eb_out_t        *out;
    ngx_eb_json_node_t   key;

    out = page->out;
    n = 0;

    for (key = ngx_eb_json_first(&page->json, object);
         key != NGX_EB_JSON_NONE;
         key = ngx_eb_json_after(&page->json, key + 2))
    {
        ngx_eb_json_raw(&page->json, key + 2, &raw);

        if (!ngx_http_eventbridge_page_some(&raw)) {
            continue;
        }

        (void) ngx_eb_json_string_raw(&page->json, key, &name);

        ngx_http_eventbridge_page_text(out, n++ ? ", " : "");
        ngx_http_eventbridge_page_escape(out, &name);
        ngx_eb_out_lit(out, ": ");

        if (ngx_eb_json_type(&page->json, key + 2) == '0') {
            ngx_http_eventbridge_page_number(page,
                                       NGX_HTTP_EVENTBRIDGE_PAGE_COUNT, &raw);

        } else {
            ngx_http_eventbridge_page_escape(out, &raw);
        }
    }

    if (n == 0) {
        ngx_eb_out_lit(out, "\xe2\x80\x93");
    }
}


static void
ngx_http_eventbridge_page_number(ngx_http_eventbridge_page_t *page,
    ngx_http_eventbridge_page_unit_e unit, ngx_str_t *digits)
{
    u_char      *p, *last;
    ngx_int_t    seconds;
    ngx_str_t    whole;

    last = digits->data + digits->len;

    for (p = digits->data; p < last && *p >= '0' && *p <= '9'; p++) {
        /* void */
    }

    whole.data = digits->data;
    whole.len = p - digits->data;

    switch (unit) {

    case NGX_HTTP_EVENTBRIDGE_PAGE_SECONDS:
        seconds = ngx_atoi(whole.data, whole.len);

        if (seconds >= 60) {
            ngx_http_eventbridge_page_seconds(page->out, seconds);
            return;
        }

        ngx_http_eventbridge_page_escape(page->out, digits);
        ngx_eb_out_lit(page->out, " s");
        return;

    case NGX_HTTP_EVENTBRIDGE_PAGE_BYTES:
        ngx_http_eventbridge_page_bytes(page->out, &whole);
        return;

    case NGX_HTTP_EVENTBRIDGE_PAGE_PLAIN:
        ngx_http_eventbridge_page_escape(page->out, digits);
        return;

    default:
        break;
    }

    for (p = digits->data; p < last; p++) {

        ngx_eb_out_raw(page->out, p, 1);

        if (p + 1 < whole.data + whole.len
            && (whole.data + whole.len - p - 1) % 3 == 0)
        {
            ngx_eb_out_lit(page->out, ",");
        }
    }
}


static void
ngx_http_eventbridge_page_seconds(ngx_eb_out_t *out, ngx_int_t seconds)
{
    ngx_uint_t                         i, n, rest;
    ngx_http_eventbridge_page_unit_t  *unit;

    rest = (ngx_uint_t) seconds;
    n = 0;

    for (i = 0; i < NGX_HTTP_EVENTBRIDGE_PAGE_UNITS && n < 2; i++) {
        unit = &ngx_http_eventbridge_page_units[i];

        if (rest >= unit->size) {
            ngx_http_eventbridge_page_text(out, n++ ? " " : "");
            ngx_eb_out_int(out, rest / unit->size);
            ngx_http_eventbridge_page_text(out, unit->name);

            rest %= unit->size;

        } else if (n) {
            return;
        }
    }
}


static void
ngx_http_eventbridge_page_bytes(ngx_eb_out_t *out, ngx_str_t *digits)
{
    ngx_int_t   bytes;
    ngx_uint_t  i;

    static const char  *units[] = { " B", " KiB", " MiB", " GiB", " TiB" };

    bytes = ngx_max(ngx_atoi(digits->data, digits->len), 0);

    if (bytes < 1024) {
        ngx_eb_out_int(out, bytes);
        ngx_http_eventbridge_page_text(out, units[0]);
        return;
    }

    for (i = 1; i < 4 && bytes >= 1024 * 1024; i++) {
        bytes /= 1024;
    }

    ngx_eb_out_int(out, bytes / 1024);
    ngx_eb_out_lit(out, ".");
    ngx_eb_out_int(out, bytes % 1024 * 10 / 1024);
    ngx_http_eventbridge_page_text(out, units[i]);
}


/* 2026-11-21T15:10:00.000Z */

static void
ngx_http_eventbridge_page_time(ngx_eb_out_t *out, ngx_str_t *value)
{
    ngx_str_t  part;

    ngx_eb_out_lit(out, "<time datetime=\"");
    ngx_http_eventbridge_page_escape(out, value);
    ngx_eb_out_lit(out, "\">");

    part.data = value->data;
    part.len = ngx_min(value->len, sizeof("2026-11-21") - 1);

    ngx_http_eventbridge_page_escape(out, &part);

    if (value->len > sizeof("2026-11-21T15:10:00") - 1) {
        part.data += sizeof("2026-11-21T") - 1;
        part.len = sizeof("15:10:00") - 1;

        ngx_eb_out_lit(out, " ");
        ngx_http_eventbridge_page_escape(out, &part);
    }

    ngx_eb_out_lit(out, "</time>");
}


static ngx_uint_t
ngx_http_eventbridge_page_alarm(ngx_http_eventbridge_page_t *page,
    ngx_str_t *name, ngx_eb_json_node_t value)
{
    ngx_str_t                            raw;
    ngx_http_eventbridge_page_member_t  *member;

    member = ngx_http_eventbridge_page_member(name);

    if (member == NULL || value == NGX_EB_JSON_NONE) {
        return 0;
    }

    ngx_eb_json_raw(&page->json, value, &raw);

    switch (member->alarm) {

    case NGX_HTTP_EVENTBRIDGE_PAGE_FALSE:
        return raw.data[0] == 'f';

    case NGX_HTTP_EVENTBRIDGE_PAGE_SOME:
        return ngx_http_eventbridge_page_some(&raw);

    default:
        return 0;
    }
}


static ngx_uint_t
ngx_http_eventbridge_page_some(ngx_str_t *raw)
{
    return raw->data[0] != 'f' && raw->data[0] != 'n'
           && !(raw->len == 1 && raw->data[0] == '0');
}


static ngx_http_eventbridge_page_member_t *
ngx_http_eventbridge_page_member(ngx_str_t *name)
{
    ngx_http_eventbridge_page_member_t  *member;

    for (member = ngx_http_eventbridge_page_members;
         member->name.len;
         member++)
    {
        if (ngx_http_eventbridge_same(&member->name, name)) {
            return member;
        }
    }

    return NULL;
}


/* "effectiveWindow" is called "Effective window" */

static void
ngx_http_eventbridge_page_label(ngx_eb_out_t *out, ngx_str_t *name)
{
    u_char                               ch;
    size_t                               i;
    ngx_str_t                            one;
    ngx_http_eventbridge_page_member_t  *member;

    member = ngx_http_eventbridge_page_member(name);

    if (member && member->label) {
        ngx_http_eventbridge_page_text(out, member->label);
        return;
    }

    for (i = 0; i < name->len; i++) {
        ch = name->data[i];

        if (i == 0) {
            ch = ngx_toupper(ch);

        } else if (ch >= 'A' && ch <= 'Z') {
            ngx_eb_out_lit(out, " ");
            ch = ngx_tolower(ch);
        }

        one.data = &ch;
        one.len = 1;

        ngx_http_eventbridge_page_escape(out, &one);
    }
}


static void
ngx_http_eventbridge_page_string(ngx_http_eventbridge_page_t *page,
    ngx_eb_json_node_t node)
{
    ngx_str_t  text;

    if (ngx_eb_json_string(&page->json, node, page->request->pool, &text)
        != NGX_OK)
    {
        page->failed = 1;
        return;
    }

    ngx_http_eventbridge_page_escape(page->out, &text);
}


/* what has a meaning in HTML, also between quotes, and what cannot be in it */

static void
ngx_http_eventbridge_page_escape(ngx_eb_out_t *out, ngx_str_t *text)
{
    u_char      *p, *last, *start;
    const char  *escaped;

    p = text->data;
    last = p + text->len;

    for (start = p; p < last; p++) {

        switch (*p) {

        case '<':
            escaped = "&lt;";
            break;

        case '>':
            escaped = "&gt;";
            break;

        case '&':
            escaped = "&amp;";
            break;

        case '"':
            escaped = "&quot;";
            break;

        case '\'':
            escaped = "&#39;";
            break;

        default:

            if (*p >= 0x20 && *p != 0x7f) {
                continue;
            }

            escaped = "\xef\xbf\xbd";
        }

        ngx_eb_out_raw(out, start, p - start);
        ngx_http_eventbridge_page_text(out, escaped);
        start = p + 1;
    }

    ngx_eb_out_raw(out, start, p - start);
}


static void
ngx_http_eventbridge_page_text(ngx_eb_out_t *out, const char *text)
{
    ngx_eb_out_raw(out, text, ngx_strlen(text));
}


/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The poller: pages of lifecycle events from the API of Genesys Cloud, all of
 * them while there are more, and then the last ones again, since events can
 * appear late among those that were read already.
 */


#include "ngx_http_eventbridge_lifecycle.h"
#define XXH_INLINE_ALL
#include <xxhash.h>


/* pages that are read again; those before them are not */
#define NGX_HTTP_EVENTBRIDGE_POLL_PAGES  64

/* between pages with nothing new, ms: an API allows 300 requests a minute */
#define NGX_HTTP_EVENTBRIDGE_POLL_PACE   250

/* events that were captured lately: so many sets of so many */
#define NGX_HTTP_EVENTBRIDGE_POLL_SETS   (1 << 14)
#define NGX_HTTP_EVENTBRIDGE_POLL_WAYS   8

/* nested deeper than this a page is not what it should be */
#define NGX_HTTP_EVENTBRIDGE_POLL_DEPTH  32

/* when the queue of the log is full, ms */
#define NGX_HTTP_EVENTBRIDGE_POLL_BUSY   100

/* after a failure, ms */
#define NGX_HTTP_EVENTBRIDGE_POLL_CAP    60000


typedef struct {
    ngx_str_t                 cursor;       /* empty: the first page */
    int64_t                   at;           /* when it was complete */
} ngx_http_eventbridge_poll_page_t;


typedef struct {
    ngx_http_eventbridge_keeper_t  *keeper;
    ngx_connection_t          dummy;
    ngx_event_t               timer;
    ngx_http_eventbridge_api_t  *api;       /* under way */
    ngx_eb_json_parser_t     *parser;
    ngx_uint_t                failures;

    /* those within the overlap, oldest first; the last one is not complete */
    ngx_http_eventbridge_poll_page_t  pages[NGX_HTTP_EVENTBRIDGE_POLL_PAGES];
    ngx_uint_t                npages;
    ngx_uint_t                page;         /* that is read */

    /* of the answer that is worked on */
    ngx_pool_t               *pool;
    ngx_uint_t                status;
    ngx_str_t                 body;
    ngx_eb_lifecycle_event_t *events;
    ngx_uint_t                nevents;
    ngx_uint_t                nall;         /* those read before, too */
    uint64_t                 *hashes;       /* of their ids */
    ngx_str_t                *ids;          /* of all of the page */
    ngx_uint_t                nids;
    ngx_str_t                 next;         /* cursor; empty: the end */
    int64_t                   newest;
    ngx_uint_t                bad;

    /* hashes; in each set the latest is the first */
    uint64_t                  seen[NGX_HTTP_EVENTBRIDGE_POLL_SETS]
                                  [NGX_HTTP_EVENTBRIDGE_POLL_WAYS];

    unsigned                  capturing:1;
    unsigned                  orphan:1;     /* stopped meanwhile */
} ngx_http_eventbridge_poll_t;


static void ngx_http_eventbridge_poll_timer(ngx_event_t *ev);
static void ngx_http_eventbridge_poll_read(ngx_http_eventbridge_poll_t *poll);
static ngx_int_t ngx_http_eventbridge_poll_step(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request);
static void ngx_http_eventbridge_poll_answer(ngx_http_eventbridge_api_t *api,
    void *data, ngx_int_t rc);
static const char *ngx_http_eventbridge_poll_why(ngx_eb_genesys_op_t *op);
static ngx_int_t ngx_http_eventbridge_poll_parse(
    ngx_http_eventbridge_poll_t *poll);
static void ngx_http_eventbridge_poll_event(ngx_http_eventbridge_poll_t *poll,
    ngx_eb_json_t *json, ngx_eb_json_node_t node, int64_t now);
static ngx_uint_t ngx_http_eventbridge_poll_seen(
    ngx_http_eventbridge_poll_t *poll, uint64_t hash);
static void ngx_http_eventbridge_poll_note(ngx_http_eventbridge_poll_t *poll,
    uint64_t hash);
static void ngx_http_eventbridge_poll_capture(
    ngx_http_eventbridge_poll_t *poll);
static void ngx_http_eventbridge_poll_captured(void *data, ngx_int_t rc);
static void ngx_http_eventbridge_poll_complete(
    ngx_http_eventbridge_poll_t *poll);
static void ngx_http_eventbridge_poll_position(
    ngx_http_eventbridge_poll_t *poll);
static void ngx_http_eventbridge_poll_failed(
    ngx_http_eventbridge_poll_t *poll, const char *why, ngx_str_t *text);
static ngx_int_t ngx_http_eventbridge_poll_keep(ngx_str_t *to,
    ngx_str_t *from);
static void ngx_http_eventbridge_poll_forget(
    ngx_http_eventbridge_poll_t *poll);
static void ngx_http_eventbridge_poll_free(ngx_http_eventbridge_poll_t *poll);


ngx_int_t
ngx_http_eventbridge_lifecycle_poll_start(ngx_http_eventbridge_keeper_t *k)
{
    ngx_eb_lifecycle_position_t  *position;
    ngx_http_eventbridge_poll_t  *poll;

    if (k->lifecycle->org == NULL || k->poll) {
        return NGX_OK;
    }

    poll = ngx_calloc(sizeof(ngx_http_eventbridge_poll_t), k->log);
    if (poll == NULL) {
        return NGX_ERROR;
    }

    poll->parser = ngx_eb_json_parser_create();

    if (poll->parser == NULL) {
        ngx_free(poll);
        return NGX_ERROR;
    }

    poll->keeper = k;
    poll->dummy.fd = (ngx_socket_t) -1;
    poll->dummy.data = poll;

    poll->timer.handler = ngx_http_eventbridge_poll_timer;
    poll->timer.data = &poll->dummy;
    poll->timer.log = k->log;
    poll->timer.cancelable = 1;

    /* from where all that follows is to be read, rows 4.8 and 4.9 */

    position = &k->state.position;
    poll->npages = 1;

    if (ngx_http_eventbridge_poll_keep(&poll->pages[0].cursor,
                                       &position->cursor)
        != NGX_OK)
    {
        ngx_http_eventbridge_poll_free(poll);
        return NGX_ERROR;
    }

    k->poll = poll;
    ngx_add_timer(&poll->timer, 1);

    return NGX_OK;
}


void
ngx_http_eventbridge_lifecycle_poll_stop(ngx_http_eventbridge_keeper_t *k)
{
    ngx_http_eventbridge_poll_t  *poll;

    poll = k->poll;

    if (poll == NULL) {
        return;
    }

    k->poll = NULL;

    if (poll->timer.timer_set) {
        ngx_del_timer(&poll->timer);
    }

    if (poll->api) {
        ngx_http_eventbridge_api_destroy(poll->api);
        poll->api = NULL;
    }

    /* the log holds on to it, and says when it has ended */

    if (poll->capturing) {
        poll->orphan = 1;
        return;
    }

    ngx_http_eventbridge_poll_free(poll);
}


static void
ngx_http_eventbridge_poll_free(ngx_http_eventbridge_poll_t *poll)
{
    ngx_uint_t  i;

    for (i = 0; i < poll->npages; i++) {
        ngx_free(poll->pages[i].cursor.data);
    }

    if (poll->pool) {
        ngx_destroy_pool(poll->pool);
    }

    ngx_eb_json_parser_destroy(poll->parser);
    ngx_free(poll);
}


static void
ngx_http_eventbridge_poll_timer(ngx_event_t *ev)
{
    ngx_connection_t *c = ev->data;

    ngx_http_eventbridge_poll_t  *poll;

    if (ngx_exiting) {
        return;
    }

    poll = c->data;

    if (poll->pool) {
        ngx_http_eventbridge_poll_capture(poll);
        return;
    }

    ngx_http_eventbridge_poll_read(poll);
}


static void
ngx_http_eventbridge_poll_read(ngx_http_eventbridge_poll_t *poll)
{
    ngx_eb_genesys_op_t            *op;
    ngx_http_eventbridge_keeper_t  *k;

    k = poll->keeper;

    poll->api = ngx_http_eventbridge_api_job(k->lifecycle->org, k->emcf);

    if (poll->api == NULL) {
        ngx_add_timer(&poll->timer, k->lifecycle->interval);
        return;
    }

    op = ngx_http_eventbridge_api_op(poll->api);
    op->step = ngx_http_eventbridge_poll_step;
    op->data = poll;

    ngx_http_eventbridge_api_run(poll->api, ngx_http_eventbridge_poll_answer,
                                 poll);
}


/* one request, and its answer as it is */

static ngx_int_t
ngx_http_eventbridge_poll_step(ngx_eb_genesys_op_t *op,
    ngx_eb_genesys_reply_t *reply, ngx_eb_genesys_request_t *request)
{
    u_char                       *p;
    ngx_str_t                    *path, *cursor;
    ngx_http_eventbridge_poll_t  *poll;

    poll = op->data;

    if (reply) {
        op->answer.status = reply->status;
        op->answer.body = reply->status ? reply->body : reply->error;
        op->answer.api_status = reply->status;
        op->answer.correlation_id = reply->correlation_id;
        op->answer.retry_after = reply->wait;

        return NGX_DONE;
    }

    path = &poll->keeper->lifecycle->events_path;
    cursor = &poll->pages[poll->page].cursor;

    p = ngx_pnalloc(op->pool, path->len + sizeof("&cursor=") - 1
                              + 3 * cursor->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    request->uri.data = p;
    p = ngx_cpymem(p, path->data, path->len);

    if (cursor->len) {
        *p++ = ngx_strlchr(path->data, path->data + path->len, '?') ? '&'
                                                                    : '?';
        p = ngx_cpymem(p, "cursor=", sizeof("cursor=") - 1);
        p = (u_char *) ngx_escape_uri(p, cursor->data, cursor->len,
                                      NGX_ESCAPE_URI_COMPONENT);
    }

    request->uri.len = p - request->uri.data;

    ngx_str_set(&request->method, "GET");
    ngx_str_set(&request->operation, "events_get");
    request->idempotent = 1;

    return NGX_AGAIN;
}


static void
ngx_http_eventbridge_poll_answer(ngx_http_eventbridge_api_t *api, void *data,
    ngx_int_t rc)
{
    ngx_http_eventbridge_poll_t *poll = data;

    ngx_str_t             text;
    ngx_msec_t            after;
    ngx_eb_genesys_op_t  *op;

    op = ngx_http_eventbridge_api_op(api);
    poll->api = NULL;

    if (rc != NGX_OK) {
        ngx_http_eventbridge_poll_failed(poll, "no memory", NULL);
        return;
    }

    if (op->answer.status < 200 || op->answer.status >= 300) {

        /* a cursor that is not known any more: all from the beginning, what
           was captured is known */

        if ((op->answer.status == 400 || op->answer.status == 404
             || op->answer.status == 410)
            && poll->pages[poll->page].cursor.len)
        {
            ngx_log_error(NGX_LOG_WARN, poll->keeper->log, 0,
                          "eventbridge: lifecycle \"%V\": the API does not "
                          "know the cursor \"%V\" (status %ui), it is read "
                          "from the first page",
                          &poll->keeper->lifecycle->name,
                          &poll->pages[poll->page].cursor,
                          op->answer.status);

            while (poll->npages) {
                ngx_free(poll->pages[--poll->npages].cursor.data);
            }

            ngx_str_null(&poll->pages[0].cursor);
            poll->npages = 1;
            poll->page = 0;
            poll->failures = 0;

            ngx_add_timer(&poll->timer, poll->keeper->lifecycle->interval);
            return;
        }

        text = op->answer.body;
        text.len = ngx_min(text.len, 256);
        after = op->answer.retry_after;

        ngx_http_eventbridge_poll_failed(poll,
                                    ngx_http_eventbridge_poll_why(op), &text);

        if (after && poll->timer.timer_set) {
            ngx_del_timer(&poll->timer);
            ngx_add_timer(&poll->timer, ngx_max(after, 1));
        }

        return;
    }

    poll->pool = ngx_create_pool(16384, poll->keeper->log);

    if (poll->pool == NULL
        || ngx_http_eventbridge_copy(poll->pool, &poll->body,
                                     &op->answer.body)
           != NGX_OK)
    {
        ngx_http_eventbridge_poll_forget(poll);
        ngx_http_eventbridge_poll_failed(poll, "no memory", NULL);
        return;
    }

    if (ngx_http_eventbridge_poll_parse(poll) != NGX_OK) {
        ngx_http_eventbridge_poll_forget(poll);
        return;
    }

    poll->failures = 0;

    ngx_http_eventbridge_poll_capture(poll);
}


/* a live organisation does not know the path: what it has instead */

static const char *
ngx_http_eventbridge_poll_why(ngx_eb_genesys_op_t *op)
{
    switch (op->answer.status) {

    case 0:
        return "the API did not answer: ";

    case NGX_HTTP_NOT_FOUND:
        return "the API does not know the path. The public Genesys Cloud API "
               "has no events to poll: what it has is delivery by Amazon "
               "EventBridge, to a location with a route to this lifecycle, "
               "and /api/v2/analytics/conversations/details/query and "
               "/api/v2/audits/query: ";

    default:
        return "the API refused: ";
    }
}


static ngx_int_t
ngx_http_eventbridge_poll_parse(ngx_http_eventbridge_poll_t *poll)
{
    int64_t                         now;
    ngx_uint_t                      i, n;
    ngx_eb_json_t                   json;
    ngx_eb_json_node_t              events, next, node;
    ngx_eb_json_error_t             err;
    ngx_http_eventbridge_keeper_t  *k;

    static ngx_str_t  name = ngx_string("events");
    static ngx_str_t  names[] = {
        ngx_string("nextPage"), ngx_string("nextCursor"),
        ngx_string("cursor")
    };

    k = poll->keeper;

    if (ngx_eb_json_parse(poll->parser, poll->body.data, poll->body.len,
                          NGX_HTTP_EVENTBRIDGE_POLL_DEPTH, &json, &err)
        != NGX_OK)
    {
        ngx_http_eventbridge_poll_failed(poll, "the answer is no JSON", NULL);
        return NGX_ERROR;
    }

    events = (ngx_eb_json_type(&json, 0) == '{')
             ? ngx_eb_json_member(&json, 0, &name) : NGX_EB_JSON_NONE;

    if (events == NGX_EB_JSON_NONE || ngx_eb_json_type(&json, events) != '[') {
        ngx_http_eventbridge_poll_failed(poll, "the answer has no \"events\"",
                                         NULL);
        return NGX_ERROR;
    }

    ngx_str_null(&poll->next);

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        next = ngx_eb_json_member(&json, 0, &names[i]);

        if (next != NGX_EB_JSON_NONE && ngx_eb_json_type(&json, next) == '"') {

            if (ngx_eb_json_string(&json, next, poll->pool, &poll->next)
                != NGX_OK)
            {
                ngx_http_eventbridge_poll_failed(poll, "no memory", NULL);
                return NGX_ERROR;
            }

            break;
        }
    }

    if (poll->next.len > NGX_EB_LIFECYCLE_CURSOR) {
        ngx_http_eventbridge_poll_failed(poll, "the next cursor is too long",
                                         NULL);
        return NGX_ERROR;
    }

    n = 0;

    for (node = ngx_eb_json_first(&json, events);
         node != NGX_EB_JSON_NONE;
         node = ngx_eb_json_after(&json, node))
    {
        n++;
    }

    poll->events = ngx_palloc(poll->pool,
                              (n + 1) * sizeof(ngx_eb_lifecycle_event_t));
    poll->hashes = ngx_palloc(poll->pool, (n + 1) * sizeof(uint64_t));
    poll->ids = ngx_palloc(poll->pool, (n + 1) * sizeof(ngx_str_t));

    if (poll->events == NULL || poll->hashes == NULL || poll->ids == NULL) {
        ngx_http_eventbridge_poll_failed(poll, "no memory", NULL);
        return NGX_ERROR;
    }

    poll->nevents = 0;
    poll->nall = n;
    poll->nids = 0;
    poll->newest = 0;
    poll->bad = 0;

    now = ngx_http_eventbridge_lifecycle_now();

    for (node = ngx_eb_json_first(&json, events);
         node != NGX_EB_JSON_NONE;
         node = ngx_eb_json_after(&json, node))
    {
        ngx_http_eventbridge_poll_event(poll, &json, node, now);
    }

    if (poll->bad) {
        ngx_eb_stats_add(k->lifecycle->cells, NGX_EB_STATS_T_INVALID,
                         poll->bad);
    }

    return NGX_OK;
}


static void
ngx_http_eventbridge_poll_event(ngx_http_eventbridge_poll_t *poll,
    ngx_eb_json_t *json, ngx_eb_json_node_t node, int64_t now)
{
    uint64_t                        hash;
    ngx_int_t                       rc;
    ngx_str_t                       raw;
    const char                     *reason;
    ngx_eb_lifecycle_event_t       *event;
    ngx_http_eventbridge_keeper_t  *k;

    k = poll->keeper;

    ngx_eb_json_raw(json, node, &raw);

    hash = XXH3_64bits(raw.data, raw.len);
    hash += (hash == 0);

    event = &poll->events[poll->nevents];
    reason = NULL;

    rc = ngx_eb_lifecycle_map_plain(&k->lifecycle->states, json, node, now,
                                    poll->pool, event, &reason);

    if (rc == NGX_OK) {
        poll->newest = ngx_max(poll->newest, event->time);

        if (event->id.len) {
            poll->ids[poll->nids++] = event->id;
        }
    }

    /* read again, within the overlap */

    if (ngx_http_eventbridge_poll_seen(poll, hash)) {
        return;
    }

    if (rc != NGX_OK) {
        poll->bad++;
        ngx_http_eventbridge_poll_note(poll, hash);

        raw.len = ngx_min(raw.len, 256);

        ngx_log_error(NGX_LOG_ERR, k->log, 0,
                      "eventbridge: lifecycle \"%V\" leaves out an event that "
                      "it cannot use, %s: %V", &k->lifecycle->name,
                      reason ? reason : "it is about no state", &raw);
        return;
    }

    event->flags |= NGX_EB_LIFECYCLE_F_POLLED;
    poll->hashes[poll->nevents++] = hash;
}


static ngx_uint_t
ngx_http_eventbridge_poll_seen(ngx_http_eventbridge_poll_t *poll,
    uint64_t hash)
{
    uint64_t    *set;
    ngx_uint_t   i;

    set = poll->seen[hash % NGX_HTTP_EVENTBRIDGE_POLL_SETS];

    for (i = 0; i < NGX_HTTP_EVENTBRIDGE_POLL_WAYS; i++) {
        if (set[i] == hash) {
            return 1;
        }
    }

    return 0;
}


static void
ngx_http_eventbridge_poll_note(ngx_http_eventbridge_poll_t *poll,
    uint64_t hash)
{
    uint64_t  *set;

    set = poll->seen[hash % NGX_HTTP_EVENTBRIDGE_POLL_SETS];

    ngx_memmove(&set[1], set, (NGX_HTTP_EVENTBRIDGE_POLL_WAYS - 1)
                              * sizeof(uint64_t));
    set[0] = hash;
}


/* all of the page, with one fdatasync(); what follows waits for it */

static void
ngx_http_eventbridge_poll_capture(ngx_http_eventbridge_poll_t *poll)
{
    ngx_int_t                       rc;
    ngx_http_eventbridge_keeper_t  *k;

    k = poll->keeper;

    if (poll->nevents == 0) {
        ngx_http_eventbridge_poll_complete(poll);
        return;
    }

    rc = (k->state.npending >= NGX_HTTP_EVENTBRIDGE_LIFECYCLE_PENDING / 2)
         ? NGX_BUSY
         : ngx_eb_lifecycle_capture(k->lifecycle->log, &k->lifecycle->states,
                                    poll->events, poll->nevents,
                                    ngx_http_eventbridge_poll_captured, poll,
                                    k->log);

    if (rc != NGX_AGAIN) {
        /* it goes on as the bus does */
        ngx_add_timer(&poll->timer, NGX_HTTP_EVENTBRIDGE_POLL_BUSY);
        return;
    }

    poll->capturing = 1;
}


static void
ngx_http_eventbridge_poll_captured(void *data, ngx_int_t rc)
{
    ngx_http_eventbridge_poll_t *poll = data;

    ngx_uint_t  i;

    poll->capturing = 0;

    if (poll->orphan) {
        ngx_http_eventbridge_poll_free(poll);
        return;
    }

    if (rc != NGX_OK) {
        ngx_add_timer(&poll->timer, 10 * NGX_HTTP_EVENTBRIDGE_POLL_BUSY);
        return;
    }

    for (i = 0; i < poll->nevents; i++) {
        ngx_http_eventbridge_poll_note(poll, poll->hashes[i]);
    }

    ngx_http_eventbridge_lifecycle_wake(poll->keeper);
    ngx_http_eventbridge_poll_complete(poll);
}


/* where to go on, and from where on a restart reads again: rows 4.7, 4.8 */

static void
ngx_http_eventbridge_poll_complete(ngx_http_eventbridge_poll_t *poll)
{
    int64_t                            now;
    ngx_str_t                          cursor;
    ngx_uint_t                         last, i, drop, old;
    ngx_http_eventbridge_lifecycle_t  *lifecycle;
    ngx_http_eventbridge_poll_page_t  *page;

    lifecycle = poll->keeper->lifecycle;
    now = ngx_http_eventbridge_lifecycle_now();
    last = (poll->page == poll->npages - 1);
    old = (poll->nevents == 0);

    if (poll->newest) {
        lifecycle->cells[NGX_EB_STATS_T_LAG] = ngx_max(now - poll->newest, 0);
    }

    if (last && poll->next.len
        && !ngx_http_eventbridge_same(&poll->next,
                                      &poll->pages[poll->page].cursor))
    {
        if (ngx_http_eventbridge_poll_keep(&cursor, &poll->next) != NGX_OK) {
            ngx_http_eventbridge_poll_forget(poll);
            ngx_http_eventbridge_poll_failed(poll, "no memory", NULL);
            return;
        }

        poll->pages[poll->page].at = now;

        /* pages that nothing is inserted into any more */

        for (drop = 0; drop + 1 < poll->npages; drop++) {
            page = &poll->pages[drop];

            if (page->at + (int64_t) lifecycle->overlap > now
                && poll->npages - drop < NGX_HTTP_EVENTBRIDGE_POLL_PAGES)
            {
                break;
            }

            ngx_free(page->cursor.data);
        }

        for (i = drop; i < poll->npages; i++) {
            poll->pages[i - drop] = poll->pages[i];
        }

        poll->npages -= drop;
        poll->page -= drop;

        poll->page++;
        poll->pages[poll->page].cursor = cursor;
        poll->pages[poll->page].at = now;
        poll->npages++;

        ngx_http_eventbridge_poll_position(poll);
        ngx_http_eventbridge_poll_forget(poll);

        /* while there are more, without a wait; but some have a next page all
           the time, where there is nothing yet, or pages in a circle */

        ngx_add_timer(&poll->timer,
                      poll->nall == 0 ? lifecycle->interval
                      : old ? ngx_min(lifecycle->interval,
                                      NGX_HTTP_EVENTBRIDGE_POLL_PACE)
                            : 1);
        return;
    }

    if (!last) {

        /* read again, all of them in half the time that they have */

        ngx_http_eventbridge_poll_forget(poll);
        poll->page++;

        ngx_add_timer(&poll->timer,
                      1 + ngx_min(lifecycle->overlap / 2
                                  / NGX_HTTP_EVENTBRIDGE_POLL_PAGES,
                                  NGX_HTTP_EVENTBRIDGE_POLL_PACE));
        return;
    }

    /* the end of all; the same pages again after a while */

    if (!old) {
        ngx_http_eventbridge_poll_position(poll);
    }

    ngx_http_eventbridge_poll_forget(poll);

    for (drop = 0; drop + 1 < poll->npages; drop++) {

        if (poll->pages[drop].at + (int64_t) lifecycle->overlap > now) {
            break;
        }

        ngx_free(poll->pages[drop].cursor.data);
    }

    for (i = drop; i < poll->npages; i++) {
        poll->pages[i - drop] = poll->pages[i];
    }

    poll->npages -= drop;
    poll->page = 0;

    ngx_add_timer(&poll->timer, lifecycle->interval);
}


static void
ngx_http_eventbridge_poll_position(ngx_http_eventbridge_poll_t *poll)
{
    ngx_eb_lifecycle_position_t  position;

    ngx_memzero(&position, sizeof(ngx_eb_lifecycle_position_t));

    position.cursor = poll->pages[0].cursor;
    position.time = poll->newest;
    position.at = ngx_http_eventbridge_lifecycle_now();

    if (poll->page == 0) {
        position.ids = poll->ids;
        position.n = ngx_min(poll->nids, NGX_EB_LIFECYCLE_DONE);
    }

    /* without it more is read again after a restart, which is harmless */

    (void) ngx_eb_lifecycle_state_position(&poll->keeper->state, &position,
                                           NULL, NULL);
}


static void
ngx_http_eventbridge_poll_failed(ngx_http_eventbridge_poll_t *poll,
    const char *why, ngx_str_t *text)
{
    ngx_msec_t                         wait;
    ngx_str_t                          none;
    ngx_uint_t                         level;
    ngx_http_eventbridge_lifecycle_t  *lifecycle;

    lifecycle = poll->keeper->lifecycle;
    ngx_str_null(&none);

    wait = lifecycle->interval << ngx_min(poll->failures, 5);
    wait = ngx_min(wait, NGX_HTTP_EVENTBRIDGE_POLL_CAP);
    wait = wait / 2 + (ngx_msec_t) ngx_random() % (wait / 2 + 1);

    ngx_eb_stats_add(lifecycle->cells, NGX_EB_STATS_T_POLL_FAILED, 1);

    level = poll->failures ? NGX_LOG_INFO : NGX_LOG_ERR;

    ngx_log_error(level, poll->keeper->log, 0,
                  "eventbridge: lifecycle \"%V\" could not poll, the next "
                  "attempt in %Mms: %s%V", &lifecycle->name, wait, why,
                  text ? text : &none);

    poll->failures++;

    ngx_add_timer(&poll->timer, ngx_max(wait, 1));
}


static ngx_int_t
ngx_http_eventbridge_poll_keep(ngx_str_t *to, ngx_str_t *from)
{
    ngx_str_null(to);

    if (from->len == 0) {
        return NGX_OK;
    }

    to->data = ngx_alloc(from->len, ngx_cycle->log);
    if (to->data == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(to->data, from->data, from->len);
    to->len = from->len;

    return NGX_OK;
}


static void
ngx_http_eventbridge_poll_forget(ngx_http_eventbridge_poll_t *poll)
{
    if (poll->pool) {
        ngx_destroy_pool(poll->pool);
        poll->pool = NULL;
    }

    poll->nevents = 0;
}

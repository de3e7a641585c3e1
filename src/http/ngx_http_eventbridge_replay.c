
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Dead letters are delivered again: what a line says, and the job that some of
 * them become.  Each goes to the destination that it names, and to no other.
 */


#include "ngx_http_eventbridge_replay.h"


/* in which culprits are looked for, ms */
#define NGX_HTTP_EVENTBRIDGE_REPLAY_TIME   60000

/* in the keys of replayed lines, where others have their scope */
#define NGX_HTTP_EVENTBRIDGE_REPLAY_SCOPE  "eventbridge replay"


typedef struct {
    ngx_str_t                 server;
    ngx_str_t                 location;
    ngx_str_t                 destination;
    ngx_str_t                 form;
} ngx_http_eventbridge_replay_names_t;


static ngx_int_t ngx_http_eventbridge_replay_gather(
    ngx_http_eventbridge_replay_t *replay);
static const char *ngx_http_eventbridge_replay_parse(
    ngx_http_eventbridge_replay_t *replay,
    ngx_http_eventbridge_replay_line_t *line);
static ngx_uint_t ngx_http_eventbridge_replay_fits(
    ngx_http_eventbridge_replay_t *replay,
    ngx_http_eventbridge_replay_line_t *line);
static ngx_int_t ngx_http_eventbridge_replay_start(
    ngx_http_eventbridge_replay_t *replay);
static ngx_int_t ngx_http_eventbridge_replay_member(ngx_eb_json_t *json,
    const char *name, ngx_pool_t *pool, ngx_str_t *value);
static ngx_int_t ngx_http_eventbridge_replay_identity(
    ngx_eb_json_t *json, ngx_pool_t *pool, ngx_str_t *identity);
static const char *ngx_http_eventbridge_replay_raw(
    ngx_http_eventbridge_replay_t *replay, ngx_eb_json_t *json,
    ngx_http_eventbridge_replay_line_t *line);
static const char *ngx_http_eventbridge_replay_place(
    ngx_http_eventbridge_replay_t *replay,
    ngx_http_eventbridge_replay_names_t *names,
    ngx_http_eventbridge_replay_line_t *line);
static ngx_int_t ngx_http_eventbridge_replay_batch(
    ngx_http_eventbridge_replay_t *replay);
static ngx_int_t ngx_http_eventbridge_replay_events(
    ngx_http_eventbridge_replay_t *replay);
static ngx_int_t ngx_http_eventbridge_replay_keys(
    ngx_http_eventbridge_replay_t *replay);
static ngx_uint_t ngx_http_eventbridge_replay_route(
    ngx_http_eventbridge_ingest_t *ingest, ngx_uint_t destination);
static void ngx_http_eventbridge_replay_done(ngx_http_eventbridge_job_t *job);


ngx_int_t
ngx_http_eventbridge_replay_next(ngx_http_eventbridge_replay_t *replay)
{
    if (replay->pool) {
        ngx_destroy_pool(replay->pool);
        replay->pool = NULL;
    }

    replay->nlines = 0;
    replay->bytes = 0;

    if (replay->pos == replay->last) {
        return NGX_DONE;
    }

    replay->pool = ngx_create_pool(16 * 1024, ngx_cycle->log);

    if (replay->pool == NULL
        || ngx_http_eventbridge_replay_gather(replay) != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (replay->nlines == 0) {
        return NGX_AGAIN;
    }

    return ngx_http_eventbridge_replay_start(replay);
}


/* lines for one job */

static ngx_int_t
ngx_http_eventbridge_replay_gather(ngx_http_eventbridge_replay_t *replay)
{
    u_char                              *p, *next;
    ngx_uint_t                           invalid;
    const char                          *why;
    ngx_http_eventbridge_replay_line_t   line;

    invalid = 0;

    while (replay->pos != replay->last
           && invalid < NGX_HTTP_EVENTBRIDGE_REPLAY_LINES)
    {
        p = ngx_strlchr(replay->pos, replay->last, '\n');
        next = p ? p + 1 : replay->last;
        p = p ? p : replay->last;

        if (p > replay->pos && p[-1] == '\r') {
            p--;
        }

        if (p > replay->pos) {
            ngx_memzero(&line, sizeof(ngx_http_eventbridge_replay_line_t));

            line.number = replay->number + 1;
            line.text.data = replay->pos;
            line.text.len = p - replay->pos;

            why = ngx_http_eventbridge_replay_parse(replay, &line);

            if (why) {
                invalid++;

                if (replay->invalid(replay, &line, why) != NGX_OK) {
                    return NGX_ERROR;
                }

            } else if (replay->wanted && !replay->wanted(replay, &line)) {
                invalid++;

            } else if (ngx_http_eventbridge_replay_fits(replay, &line)) {
                replay->lines[replay->nlines++] = line;
                replay->bytes += line.raw.len;

            } else {
                break;
            }
        }

        replay->number++;
        replay->pos = next;
    }

    return NGX_OK;
}


/* NULL, or why the line cannot be replayed */

static const char *
ngx_http_eventbridge_replay_parse(ngx_http_eventbridge_replay_t *replay,
    ngx_http_eventbridge_replay_line_t *line)
{
    ngx_int_t                             rc;
    const char                           *why;
    ngx_eb_json_t                         json;
    ngx_eb_json_error_t                   err;
    ngx_eb_json_parser_t                 *parser;
    ngx_http_eventbridge_replay_names_t   names;

    parser = replay->emcf->worker->parser;

    if (ngx_eb_log_check(line->text.data, line->text.len) == NGX_EB_LOG_WRONG)
    {
        return "the line is damaged";
    }

    rc = ngx_eb_json_parse(parser, line->text.data, line->text.len, 64, &json,
                           &err);

    if (rc != NGX_OK || ngx_eb_json_type(&json, 0) != '{') {
        return "not a JSON object";
    }

    ngx_memzero(&names, sizeof(ngx_http_eventbridge_replay_names_t));

    if (ngx_http_eventbridge_replay_member(&json, "server", replay->pool,
                                           &names.server)
        == NGX_ERROR
        || ngx_http_eventbridge_replay_member(&json, "location", replay->pool,
                                              &names.location)
           == NGX_ERROR
        || ngx_http_eventbridge_replay_member(&json, "form", replay->pool,
                                              &names.form)
           == NGX_ERROR
        || ngx_http_eventbridge_replay_member(&json, "scope", replay->pool,
                                              &line->scope)
           == NGX_ERROR
        || ngx_http_eventbridge_replay_member(&json, "eventId", replay->pool,
                                              &line->id)
           == NGX_ERROR
        || ngx_http_eventbridge_replay_member(&json, "source", replay->pool,
                                              &line->source)
           == NGX_ERROR
        || ngx_http_eventbridge_replay_member(&json, "type", replay->pool,
                                              &line->type)
           == NGX_ERROR
        || ngx_http_eventbridge_replay_identity(&json, replay->pool,
                                                &line->identity)
           == NGX_ERROR)
    {
        return "no memory";
    }

    rc = ngx_http_eventbridge_replay_member(&json, "destination", replay->pool,
                                            &names.destination);
    if (rc != NGX_OK) {
        return "it names no destination";
    }

    /* this one ends the life of json: it parses what it has found */

    why = ngx_http_eventbridge_replay_raw(replay, &json, line);
    if (why) {
        return why;
    }

    return ngx_http_eventbridge_replay_place(replay, &names, line);
}


/* NGX_DECLINED: there is no such string */

static ngx_int_t
ngx_http_eventbridge_replay_member(ngx_eb_json_t *json, const char *name,
    ngx_pool_t *pool, ngx_str_t *value)
{
    ngx_str_t           s;
    ngx_eb_json_node_t  node;

    s.data = (u_char *) name;
    s.len = ngx_strlen(name);

    node = ngx_eb_json_member(json, 0, &s);

    if (node == NGX_EB_JSON_NONE || ngx_eb_json_type(json, node) != '"') {
        return NGX_DECLINED;
    }

    return ngx_eb_json_string(json, node, pool, value);
}


/*
 * What makes a line this very line, whatever is written beside it: it is
 * delivered once within the checkpoint's window.  Length-prefixed, as all keys.
 */

static ngx_int_t
ngx_http_eventbridge_replay_identity(ngx_eb_json_t *json, ngx_pool_t *pool,
    ngx_str_t *identity)
{
    u_char              *p;
    size_t               len;
    uint32_t             n;
    ngx_str_t            value[7];
    ngx_uint_t           i;
    ngx_eb_json_node_t   node;

    static ngx_str_t  names[] = {
        ngx_string("time"),
        ngx_string("requestId"),
        ngx_string("index"),
        ngx_string("destination"),
        ngx_string("raw"),
        ngx_string("raw_base64")
    };

    ngx_str_set(&value[6], NGX_HTTP_EVENTBRIDGE_REPLAY_SCOPE);
    len = sizeof(uint32_t) + value[6].len;

    for (i = 0; i < 6; i++) {
        ngx_str_null(&value[i]);

        node = ngx_eb_json_member(json, 0, &names[i]);

        if (node != NGX_EB_JSON_NONE) {
            ngx_eb_json_raw(json, node, &value[i]);
        }

        len += sizeof(uint32_t) + value[i].len;
    }

    p = ngx_pnalloc(pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    identity->data = p;
    identity->len = len;

    for (i = 0; i < 7; i++) {
        n = (uint32_t) value[i].len;
        p = ngx_cpymem(p, &n, sizeof(uint32_t));

        if (n) {
            p = ngx_cpymem(p, value[i].data, n);
        }
    }

    return NGX_OK;
}


static const char *
ngx_http_eventbridge_replay_raw(ngx_http_eventbridge_replay_t *replay,
    ngx_eb_json_t *json, ngx_http_eventbridge_replay_line_t *line)
{
    ngx_int_t             rc;
    ngx_str_t             text;
    ngx_eb_json_t         inner;
    ngx_eb_json_error_t   err;

    rc = ngx_http_eventbridge_replay_member(json, "raw_base64", replay->pool,
                                            &text);
    if (rc == NGX_ERROR) {
        return "no memory";
    }

    if (rc == NGX_OK) {
        line->raw.data = ngx_pnalloc(replay->pool,
                                     ngx_base64_decoded_length(text.len) + 1);
        if (line->raw.data == NULL) {
            return "no memory";
        }

        if (ngx_decode_base64(&line->raw, &text) != NGX_OK
            || line->raw.len == 0)
        {
            return "raw_base64 is not valid";
        }

        line->binary = 1;

        return NULL;
    }

    rc = ngx_http_eventbridge_replay_member(json, "raw", replay->pool,
                                            &line->raw);
    if (rc == NGX_ERROR) {
        return "no memory";
    }

    if (rc == NGX_DECLINED) {
        return "it has no event";
    }

    /* one value, for it is put into a container with others */

    if (ngx_eb_json_parse(replay->emcf->worker->parser, line->raw.data,
                          line->raw.len, NGX_HTTP_EVENTBRIDGE_MAX_DEPTH,
                          &inner, &err)
        != NGX_OK)
    {
        return "its event is not JSON";
    }

    line->binary = 0;

    return NULL;
}


/* the location that the line came from, or another one with its destination */

static const char *
ngx_http_eventbridge_replay_place(ngx_http_eventbridge_replay_t *replay,
    ngx_http_eventbridge_replay_names_t *names,
    ngx_http_eventbridge_replay_line_t *line)
{
    ngx_uint_t                            i, j, own;
    ngx_http_eventbridge_ingest_t       **ingests, *ingest;
    ngx_http_eventbridge_destination_t   *d;

    line->ingest = NULL;
    ingests = replay->emcf->ingests.elts;

    for (i = 0; i < replay->emcf->ingests.nelts; i++) {
        ingest = ingests[i];

        if (names->server.data
            ? !ngx_http_eventbridge_same(&ingest->server, &names->server)
            : (replay->server && ingest->ctx != replay->server))
        {
            continue;
        }

        own = ngx_http_eventbridge_same(&ingest->name, &names->location);

        if (line->ingest && !own) {
            continue;
        }

        d = ingest->destinations;

        for (j = 0; j < ingest->ndestinations; j++) {
            if (ngx_http_eventbridge_same(&d[j].uri, &names->destination)) {
                line->ingest = ingest;
                line->destination = j;
                break;
            }
        }

        if (own && line->ingest == ingest) {
            break;
        }
    }

    if (line->ingest == NULL) {
        return "no location has its destination";
    }

    if (line->binary) {
        line->form = NGX_HTTP_EVENTBRIDGE_FORWARD_SINGLE;
        return NULL;
    }

    for (i = NGX_HTTP_EVENTBRIDGE_FORWARD_EVENTS;
         i <= NGX_HTTP_EVENTBRIDGE_FORWARD_LAST;
         i++)
    {
        if (ngx_http_eventbridge_same(ngx_http_eventbridge_form_name(i),
                                      &names->form))
        {
            line->form = i;
            return NULL;
        }
    }

    if (names->form.data) {
        return "its form is unknown";
    }

    line->form = ngx_http_eventbridge_form(line->ingest->conf,
                                           NGX_EB_BODY_ARRAY);
    return NULL;
}


/* can it go with those that are there? */

static ngx_uint_t
ngx_http_eventbridge_replay_fits(ngx_http_eventbridge_replay_t *replay,
    ngx_http_eventbridge_replay_line_t *line)
{
    ngx_http_eventbridge_replay_line_t  *first;

    if (replay->nlines == 0) {
        return 1;
    }

    first = replay->lines;

    return replay->nlines < NGX_HTTP_EVENTBRIDGE_REPLAY_LINES
           && replay->bytes + line->raw.len
              <= NGX_HTTP_EVENTBRIDGE_REPLAY_BYTES
           && line->ingest == first->ingest
           && line->destination == first->destination
           && line->form == first->form
           && ngx_http_eventbridge_same(&line->scope, &first->scope)
           && !line->binary && !first->binary;
}


static ngx_int_t
ngx_http_eventbridge_replay_start(ngx_http_eventbridge_replay_t *replay)
{
    ngx_http_eventbridge_job_t  *job;

    job = ngx_http_eventbridge_job_create(replay->emcf,
                                          replay->lines[0].ingest->conf);
    if (job == NULL) {
        return NGX_ERROR;
    }

    replay->job = job;

    job->replay = 1;
    job->deadline = ngx_current_msec + NGX_HTTP_EVENTBRIDGE_REPLAY_TIME;
    job->form = replay->lines[0].form;

    if (ngx_http_eventbridge_copy(job->pool, &job->scope,
                                  replay->lines[0].scope.data
                                      ? &replay->lines[0].scope
                                      : &job->ingest->scope)
        != NGX_OK
        || ngx_http_eventbridge_job_facts(job, replay->request) != NGX_OK
        || ngx_http_eventbridge_replay_batch(replay) != NGX_OK
        || ngx_http_eventbridge_job_prepare(job) != NGX_OK
        || ngx_http_eventbridge_replay_keys(replay) != NGX_OK)
    {
        replay->job = NULL;
        ngx_http_eventbridge_job_destroy(job);
        return NGX_ERROR;
    }

    job->done = ngx_http_eventbridge_replay_done;
    job->data = replay;

    ngx_http_eventbridge_job_begin(job);

    return NGX_OK;
}


/* the events stand in one block, as if they had come in as an array */

static ngx_int_t
ngx_http_eventbridge_replay_batch(ngx_http_eventbridge_replay_t *replay)
{
    u_char                       *p;
    size_t                        len;
    ngx_uint_t                    i, route;
    ngx_eb_route_hit_t           *hit;
    ngx_http_eventbridge_job_t   *job;

    job = replay->job;
    len = 1;

    for (i = 0; i < replay->nlines; i++) {
        len += replay->lines[i].raw.len + 1;
    }

    p = ngx_pnalloc(job->pool, len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    job->body.data = p;
    job->body.len = len;

    for (i = 0; i < replay->nlines; i++) {
        *p++ = i ? ',' : '[';
        p = ngx_cpymem(p, replay->lines[i].raw.data,
                       replay->lines[i].raw.len);
    }

    *p = ']';

    if (ngx_http_eventbridge_replay_events(replay) != NGX_OK) {
        return NGX_ERROR;
    }

    job->items = ngx_pcalloc(job->pool, replay->nlines
                                        * sizeof(ngx_http_eventbridge_item_t));
    if (job->items == NULL
        || ngx_array_init(&job->hits, job->pool, replay->nlines,
                          sizeof(ngx_eb_route_hit_t))
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    route = ngx_http_eventbridge_replay_route(job->ingest,
                                              replay->lines[0].destination);
    hit = job->hits.elts;
    job->hits.nelts = replay->nlines;
    job->open = replay->nlines;

    for (i = 0; i < replay->nlines; i++) {
        hit[i].event = (uint32_t) i;
        hit[i].destination = (uint16_t) replay->lines[0].destination;
        hit[i].route = (uint16_t) route;

        job->items[i].hit = (uint32_t) i;
        job->items[i].nhits = 1;
        job->items[i].repeat = NGX_HTTP_EVENTBRIDGE_NO_ITEM;
    }

    return NGX_OK;
}


/* id and source of an event make its Idempotency-Key */

static ngx_int_t
ngx_http_eventbridge_replay_events(ngx_http_eventbridge_replay_t *replay)
{
    ngx_uint_t                             i;
    ngx_eb_json_t                          json;
    ngx_eb_event_t                        *event;
    ngx_eb_json_error_t                    err;
    ngx_http_eventbridge_job_t            *job;
    ngx_http_eventbridge_replay_line_t    *line;

    job = replay->job;

    if (replay->lines[0].binary) {
        job->batch.events = ngx_pcalloc(job->pool, sizeof(ngx_eb_event_t));
        if (job->batch.events == NULL) {
            return NGX_ERROR;
        }

        job->batch.shape = NGX_EB_BODY_SINGLE;
        job->batch.nevents = 1;
        job->batch.events->raw.data = job->body.data + 1;
        job->batch.events->raw.len = job->body.len - 2;

    } else {

        if (ngx_eb_json_parse(job->emcf->worker->parser, job->body.data,
                              job->body.len,
                              NGX_HTTP_EVENTBRIDGE_MAX_DEPTH + 1, &json, &err)
            != NGX_OK
            || ngx_eb_batch_split(&json, job->pool, replay->nlines,
                                  &job->batch)
               != NGX_OK
            || job->batch.nevents != replay->nlines
            || ngx_http_eventbridge_key_ids(job, &json) != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (!ngx_http_eventbridge_event_said(job->conf)) {
        return NGX_OK;
    }

    /* these were said by headers, which the line has kept */

    for (i = 0; i < job->batch.nevents; i++) {
        event = &job->batch.events[i];
        line = &replay->lines[i];

        if (ngx_http_eventbridge_copy(job->pool, &event->id, &line->id)
            != NGX_OK
            || ngx_http_eventbridge_copy(job->pool, &event->source,
                                         &line->source)
               != NGX_OK
            || ngx_http_eventbridge_copy(job->pool, &event->type, &line->type)
               != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


/* of lines, not of events: the marks of these are set since they are dead */

static ngx_int_t
ngx_http_eventbridge_replay_keys(ngx_http_eventbridge_replay_t *replay)
{
    ngx_int_t                     bit;
    ngx_uint_t                    i, j;
    ngx_eb_store_key_t           *key;
    ngx_http_eventbridge_job_t   *job;
    ngx_http_eventbridge_item_t  *items;

    job = replay->job;

    if (job->conf->zone == NULL) {
        return NGX_OK;
    }

    job->store = ngx_eb_checkpoint_store(job->conf->zone->checkpoint);

    job->keys = ngx_pcalloc(job->pool,
                            replay->nlines * sizeof(ngx_eb_store_key_t));
    if (job->keys == NULL) {
        return NGX_ERROR;
    }

    items = job->items;
    bit = job->ingest->destinations[replay->lines[0].destination].bit;

    for (i = 0; i < replay->nlines; i++) {
        key = &job->keys[i];

        job->store->hash(job->store, replay->lines[i].identity.data,
                         replay->lines[i].identity.len, key);

        key->status = NGX_EB_KEY_NEW;
        key->want = (bit < 0) ? 0 : (uint64_t) 1 << bit;

        /* they are few */

        for (j = 0; j < i; j++) {
            if (items[j].state != NGX_HTTP_EVENTBRIDGE_REPEAT
                && job->keys[j].lo == key->lo && job->keys[j].hi == key->hi)
            {
                key->status = NGX_EB_KEY_SKIP;
                items[i].state = NGX_HTTP_EVENTBRIDGE_REPEAT;
                items[i].repeat = items[j].repeat;
                items[j].repeat = (uint32_t) i;
                break;
            }
        }
    }

    return NGX_OK;
}


/* the first that leads there */

static ngx_uint_t
ngx_http_eventbridge_replay_route(ngx_http_eventbridge_ingest_t *ingest,
    ngx_uint_t destination)
{
    ngx_uint_t       i;
    ngx_eb_route_t  *routes;

    routes = ingest->router.routes.elts;

    for (i = 0; i < ingest->router.routes.nelts; i++) {
        if (routes[i].destination == destination) {
            break;
        }
    }

    return i;
}


static void
ngx_http_eventbridge_replay_done(ngx_http_eventbridge_job_t *job)
{
    ngx_http_eventbridge_replay_t *replay = job->data;

    replay->done(replay);
    replay->job = NULL;
}


void
ngx_http_eventbridge_replay_stop(ngx_http_eventbridge_replay_t *replay)
{
    if (replay->job) {
        replay->job->done = NULL;
        replay->job = NULL;
    }

    if (replay->pool) {
        ngx_destroy_pool(replay->pool);
        replay->pool = NULL;
    }
}


/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The dead letter: events that can never be delivered, or not for long, as
 * lines of a file.  They are on the disk before their mark is set and before
 * the sender is answered.
 */


#include "ngx_http_eventbridge_module.h"


/* of one worker: what waits for the disk */
#define NGX_HTTP_EVENTBRIDGE_DEAD_QUEUE  (64 * 1024 * 1024)

/* of each of the texts that only describe an event */
#define NGX_HTTP_EVENTBRIDGE_DEAD_TEXT   256


typedef struct ngx_http_eventbridge_dead_s  ngx_http_eventbridge_dead_t;

typedef struct {
    ngx_eb_log_record_t           record;
    ngx_http_eventbridge_dead_t  *dead;
    uint32_t                  number;       /* of the hit, or of the item */
} ngx_http_eventbridge_dead_line_t;


/* lines of a job that are written together */

struct ngx_http_eventbridge_dead_s {
    ngx_http_eventbridge_job_t        *job;
    ngx_http_eventbridge_dead_line_t  *lines;
    ngx_uint_t                nlines;
    ngx_uint_t                pending;
    ngx_uint_t                invalid;      /* lines are of items: of events
                                               that have no destination */
};


static ngx_http_eventbridge_dead_t *ngx_http_eventbridge_dead_create(
    ngx_http_eventbridge_job_t *job, ngx_uint_t n);
static ngx_int_t ngx_http_eventbridge_dead_write(
    ngx_http_eventbridge_dead_t *dead);
static void ngx_http_eventbridge_dead_written(ngx_eb_log_record_t *record);
static void ngx_http_eventbridge_dead_done(ngx_http_eventbridge_dead_t *dead);
static ngx_int_t ngx_http_eventbridge_dead_line(
    ngx_http_eventbridge_job_t *job, ngx_uint_t i, ngx_str_t *destination,
    ngx_uint_t status, const char *reason, ngx_str_t *line);
static size_t ngx_http_eventbridge_dead_text(ngx_str_t *text);
static size_t ngx_http_eventbridge_dead_escaped(ngx_str_t *text);


ngx_int_t
ngx_http_eventbridge_dead_hits(ngx_http_eventbridge_job_t *job,
    uint32_t *hits, ngx_uint_t n, const char *reason)
{
    ngx_uint_t                         i;
    ngx_eb_route_hit_t                *hit;
    ngx_http_eventbridge_dead_t       *dead;
    ngx_http_eventbridge_dead_line_t  *line;

    dead = ngx_http_eventbridge_dead_create(job, n);
    if (dead == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        hit = (ngx_eb_route_hit_t *) job->hits.elts + hits[i];
        line = &dead->lines[i];
        line->number = hits[i];

        if (ngx_http_eventbridge_dead_line(job, hit->event,
                      &job->ingest->destinations[hit->destination].uri,
                      job->hit_status[hits[i]], reason, &line->record.payload)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    if (ngx_http_eventbridge_dead_write(dead) != NGX_OK) {
        return NGX_ERROR;
    }

    for (i = 0; i < n; i++) {
        job->hit_states[hits[i]] = NGX_HTTP_EVENTBRIDGE_HIT_CONDEMNED;
    }

    return NGX_OK;
}


ngx_int_t
ngx_http_eventbridge_dead_invalid(ngx_http_eventbridge_job_t *job)
{
    ngx_uint_t                         i, n;
    ngx_http_eventbridge_dead_t       *dead;
    ngx_http_eventbridge_dead_line_t  *line;

    dead = ngx_http_eventbridge_dead_create(job, job->condemned);
    if (dead == NULL) {
        return NGX_ERROR;
    }

    dead->invalid = 1;

    for (i = 0, n = 0; i < job->batch.nevents; i++) {

        if (job->items[i].state != NGX_HTTP_EVENTBRIDGE_CONDEMNED) {
            continue;
        }

        line = &dead->lines[n++];
        line->number = (uint32_t) i;

        if (ngx_http_eventbridge_dead_line(job, i, NULL, 0,
                                           job->batch.events[i].invalid,
                                           &line->record.payload)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    return ngx_http_eventbridge_dead_write(dead);
}


static ngx_http_eventbridge_dead_t *
ngx_http_eventbridge_dead_create(ngx_http_eventbridge_job_t *job, ngx_uint_t n)
{
    ngx_http_eventbridge_dead_t  *dead;

    dead = ngx_pcalloc(job->pool, sizeof(ngx_http_eventbridge_dead_t));
    if (dead == NULL) {
        return NULL;
    }

    dead->lines = ngx_pcalloc(job->pool,
                              n * sizeof(ngx_http_eventbridge_dead_line_t));
    if (dead->lines == NULL) {
        return NULL;
    }

    dead->job = job;
    dead->nlines = n;

    return dead;
}


/* NGX_ERROR: nothing will be written */

static ngx_int_t
ngx_http_eventbridge_dead_write(ngx_http_eventbridge_dead_t *dead)
{
    ngx_int_t             rc;
    ngx_uint_t            i;
    ngx_eb_log_record_t  *record;

    for (i = 0; i < dead->nlines; i++) {
        record = &dead->lines[i].record;

        dead->lines[i].dead = dead;
        record->handler = ngx_http_eventbridge_dead_written;
        record->data = &dead->lines[i];

        rc = ngx_eb_log_append(dead->job->conf->dead_letter, record);

        if (rc == NGX_AGAIN) {
            dead->pending++;
            continue;
        }

        if (record->err == 0) {
            record->err = NGX_EBUSY;
        }
    }

    if (dead->pending == 0) {
        dead->job->dead_error = 1;
        ngx_log_error(NGX_LOG_ERR, dead->job->log, dead->lines[0].record.err,
                      "eventbridge: dead letter \"%V\" takes nothing",
                      ngx_eb_log_path(dead->job->conf->dead_letter));
        return NGX_ERROR;
    }

    dead->job->ops++;

    return NGX_OK;
}


/* one line is on the disk, or is not */

static void
ngx_http_eventbridge_dead_written(ngx_eb_log_record_t *record)
{
    ngx_http_eventbridge_dead_line_t *line = record->data;

    if (--line->dead->pending == 0) {
        ngx_http_eventbridge_dead_done(line->dead);
    }
}


static void
ngx_http_eventbridge_dead_done(ngx_http_eventbridge_dead_t *dead)
{
    uint32_t                          *list;
    ngx_err_t                          err;
    ngx_uint_t                         i, n, failed;
    ngx_http_eventbridge_job_t        *job;
    ngx_http_eventbridge_dead_line_t  *line;

    job = dead->job;
    err = 0;
    n = 0;
    failed = dead->nlines;

    for (i = 0; i < dead->nlines; i++) {
        if (dead->lines[i].record.err) {
            err = dead->lines[i].record.err;
        }
    }

    if (err) {
        job->dead_error = 1;
        ngx_log_error(NGX_LOG_ERR, job->log, err,
                      "eventbridge: dead letter \"%V\" was not written, "
                      "location \"%V\", request id %V",
                      ngx_eb_log_path(job->conf->dead_letter),
                      &job->ingest->name, &job->facts.request_id);
    }

    if (dead->invalid) {

        for (i = 0; i < dead->nlines; i++) {
            line = &dead->lines[i];

            ngx_http_eventbridge_settle(job, line->number,
                line->record.err ? NGX_HTTP_EVENTBRIDGE_FAILED
                                 : NGX_HTTP_EVENTBRIDGE_DEAD);
        }

        goto done;
    }

    /* the first line's own memory would do, were it not for its links */

    list = ngx_palloc(job->pool, dead->nlines * sizeof(uint32_t));

    for (i = 0; i < dead->nlines; i++) {
        line = &dead->lines[i];

        if (list == NULL) {
            ngx_http_eventbridge_finish_hits(job, &line->number, 1,
                line->record.err ? NGX_HTTP_EVENTBRIDGE_HIT_FAILED
                                 : NGX_HTTP_EVENTBRIDGE_HIT_DEAD);

        } else if (line->record.err) {
            list[--failed] = line->number;

        } else {
            list[n++] = line->number;
        }
    }

    if (list) {
        ngx_http_eventbridge_finish_hits(job, list, n,
                                         NGX_HTTP_EVENTBRIDGE_HIT_DEAD);
        ngx_http_eventbridge_finish_hits(job, &list[failed],
                                         dead->nlines - failed,
                                         NGX_HTTP_EVENTBRIDGE_HIT_FAILED);
    }

done:

    job->ops--;
    ngx_post_event(&job->wake, &ngx_posted_events);
}


/*
 * The line of event i, without its closing brace: the log adds its check.
 * raw is the event byte by byte; JSON has been found to be valid UTF-8.
 */

static ngx_int_t
ngx_http_eventbridge_dead_line(ngx_http_eventbridge_job_t *job, ngx_uint_t i,
    ngx_str_t *destination, ngx_uint_t status, const char *reason,
    ngx_str_t *line)
{
    u_char              *start, key[32];
    size_t               size;
    uint64_t             word[2];
    ngx_str_t            text, *form;
    ngx_uint_t           k;
    ngx_eb_out_t         out;
    ngx_time_t          *tp;
    ngx_eb_event_t      *event;

    event = &job->batch.events[i];

    text.data = (u_char *) reason;
    text.len = ngx_strlen(reason);

    size = 512 + ngx_http_eventbridge_dead_escaped(&event->raw)
           + ngx_http_eventbridge_dead_escaped(&job->ingest->server)
           + ngx_http_eventbridge_dead_escaped(&job->ingest->name)
           + ngx_http_eventbridge_dead_escaped(&job->scope)
           + ngx_http_eventbridge_dead_text(&job->facts.request_id)
           + ngx_http_eventbridge_dead_text(&event->id)
           + ngx_http_eventbridge_dead_text(&event->source)
           + ngx_http_eventbridge_dead_text(&event->type)
           + ngx_http_eventbridge_dead_escaped(&text);

    if (destination) {
        size += ngx_http_eventbridge_dead_escaped(destination);
    }

    start = ngx_pnalloc(job->pool, size);
    if (start == NULL) {
        return NGX_ERROR;
    }

    tp = ngx_timeofday();

    ngx_eb_out_init(&out, start, size);

    ngx_eb_out_lit(&out, "{\"v\":1,\"time\":");
    ngx_eb_out_time(&out, (int64_t) tp->sec * 1000 + tp->msec);
    ngx_eb_out_lit(&out, ",\"server\":");
    ngx_eb_out_string(&out, &job->ingest->server, job->ingest->server.len);
    ngx_eb_out_lit(&out, ",\"location\":");
    ngx_eb_out_string(&out, &job->ingest->name, job->ingest->name.len);
    ngx_eb_out_lit(&out, ",\"scope\":");
    ngx_eb_out_string(&out, &job->scope, job->scope.len);
    ngx_eb_out_lit(&out, ",\"requestId\":");
    ngx_eb_out_string(&out, &job->facts.request_id,
                      NGX_HTTP_EVENTBRIDGE_DEAD_TEXT);
    ngx_eb_out_lit(&out, ",\"index\":");
    ngx_eb_out_int(&out, i);

    if (event->id.len) {
        ngx_eb_out_lit(&out, ",\"eventId\":");
        ngx_eb_out_string(&out, &event->id, NGX_HTTP_EVENTBRIDGE_DEAD_TEXT);
    }

    if (event->source.len) {
        ngx_eb_out_lit(&out, ",\"source\":");
        ngx_eb_out_string(&out, &event->source,
                          NGX_HTTP_EVENTBRIDGE_DEAD_TEXT);
    }

    if (event->type.len) {
        ngx_eb_out_lit(&out, ",\"type\":");
        ngx_eb_out_string(&out, &event->type, NGX_HTTP_EVENTBRIDGE_DEAD_TEXT);
    }

    ngx_eb_out_lit(&out, ",\"key\":");

    if (job->keys && (job->keys[i].hi || job->keys[i].lo)) {
        word[0] = job->keys[i].hi;
        word[1] = job->keys[i].lo;

        for (k = 0; k < 32; k++) {
            key[k] = (u_char) "0123456789abcdef"[word[k / 16]
                                                 >> (60 - k % 16 * 4) & 0xf];
        }

        text.data = key;
        text.len = 32;
        ngx_eb_out_string(&out, &text, text.len);

    } else {
        ngx_eb_out_lit(&out, "null");
    }

    ngx_eb_out_lit(&out, ",\"destination\":");

    if (destination) {
        ngx_eb_out_string(&out, destination, destination->len);

    } else {
        ngx_eb_out_lit(&out, "null");
    }

    ngx_eb_out_lit(&out, ",\"form\":");
    form = ngx_http_eventbridge_form_name(job->form);
    ngx_eb_out_string(&out, form, form->len);

    ngx_eb_out_lit(&out, ",\"status\":");
    ngx_eb_out_int(&out, status);
    ngx_eb_out_lit(&out, ",\"reason\":");

    text.data = (u_char *) reason;
    text.len = ngx_strlen(reason);
    ngx_eb_out_string(&out, &text, text.len);

    ngx_eb_out_lit(&out, ",\"raw\":");
    ngx_eb_out_string(&out, &event->raw, event->raw.len);

    if (out.truncated) {
        ngx_log_error(NGX_LOG_ALERT, job->log, 0,
                      "eventbridge: no room for a dead letter of %uz bytes",
                      event->raw.len);
        return NGX_ERROR;
    }

    line->data = start;
    line->len = out.pos - start;

    return NGX_OK;
}


/* the same of a text that is cut */

static size_t
ngx_http_eventbridge_dead_text(ngx_str_t *text)
{
    ngx_str_t  s;

    s.data = text->data;
    s.len = ngx_min(text->len, NGX_HTTP_EVENTBRIDGE_DEAD_TEXT);

    /* what is not UTF-8 is replaced by three bytes, and so is what is cut */

    return 3 * ngx_http_eventbridge_dead_escaped(&s) + 8;
}


/* at most so many bytes as a JSON string, quotes included */

static size_t
ngx_http_eventbridge_dead_escaped(ngx_str_t *text)
{
    size_t  i, n;

    n = 2;

    for (i = 0; i < text->len; i++) {
        n += (text->data[i] < 0x20 || text->data[i] == 0x7f) ? 6
             : (text->data[i] == '"' || text->data[i] == '\\') ? 2
             : 1;
    }

    return n;
}


char *
ngx_http_eventbridge_dead_letter(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_eventbridge_loc_conf_t *elcf = conf;

    ngx_str_t                         *value;
    ngx_http_eventbridge_main_conf_t  *emcf;

    if (elcf->dead_letter != NGX_CONF_UNSET_PTR) {
        return ngx_http_eventbridge_duplicate(cf);
    }

    value = cf->args->elts;

    if (value[1].len == 0) {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "a file or \"off\" is expected");
    }

    if (value[1].len == 3 && ngx_strncmp(value[1].data, "off", 3) == 0) {
        elcf->dead_letter = NULL;
        return NGX_CONF_OK;
    }

    emcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_eventbridge_module);

    elcf->dead_letter = ngx_eb_log_add(cf, &emcf->logs,
                                       "eventbridge_dead_letter", &value[1],
                                       NGX_HTTP_EVENTBRIDGE_DEAD_QUEUE);

    return elcf->dead_letter ? NGX_CONF_OK : NGX_CONF_ERROR;
}


ngx_int_t
ngx_http_eventbridge_merge_dead(ngx_conf_t *cf,
    ngx_http_eventbridge_loc_conf_t *prev,
    ngx_http_eventbridge_loc_conf_t *conf)
{
    ngx_uint_t  i, *codes;

    static ngx_uint_t  defaults[] = {
        NGX_HTTP_BAD_REQUEST, NGX_HTTP_UNSUPPORTED_MEDIA_TYPE, 422
    };

    ngx_conf_merge_ptr_value(conf->dead_letter, prev->dead_letter, NULL);
    ngx_conf_merge_ptr_value(conf->permanent, prev->permanent, NULL);

    if (conf->permanent == NULL) {
        conf->permanent = ngx_array_create(cf->pool, 3, sizeof(ngx_uint_t));
        if (conf->permanent == NULL) {
            return NGX_ERROR;
        }

        for (i = 0; i < 3; i++) {
            codes = ngx_array_push(conf->permanent);
            *codes = defaults[i];
        }

        /* once for all locations below that do not say otherwise */

        if (prev->permanent == NGX_CONF_UNSET_PTR) {
            prev->permanent = conf->permanent;
        }
    }

    if (conf->unavailable == NGX_CONF_UNSET_UINT) {
        conf->unavailable_after = prev->unavailable_after;
    }

    ngx_conf_merge_uint_value(conf->unavailable, prev->unavailable,
                              NGX_HTTP_EVENTBRIDGE_UNAVAILABLE_RETRY);

    return NGX_OK;
}


char *
ngx_http_eventbridge_permanent(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_eventbridge_loc_conf_t *elcf = conf;

    ngx_int_t    code;
    ngx_str_t   *value;
    ngx_uint_t   i, j, *codes;

    if (elcf->permanent != NGX_CONF_UNSET_PTR) {
        return ngx_http_eventbridge_duplicate(cf);
    }

    value = cf->args->elts;

    elcf->permanent = ngx_array_create(cf->pool, cf->args->nelts,
                                       sizeof(ngx_uint_t));
    if (elcf->permanent == NULL) {
        return NGX_CONF_ERROR;
    }

    if (cf->args->nelts == 2
        && value[1].len == 4 && ngx_strncmp(value[1].data, "none", 4) == 0)
    {
        return NGX_CONF_OK;
    }

    for (i = 1; i < cf->args->nelts; i++) {

        code = ngx_atoi(value[i].data, value[i].len);

        if (code < 300 || code > 599) {
            return ngx_http_eventbridge_refuse(cf, &value[i],
                                    "codes from 300 to 599, or \"none\", are "
                                    "expected");
        }

        codes = elcf->permanent->elts;

        for (j = 0; j < elcf->permanent->nelts; j++) {
            if (codes[j] == (ngx_uint_t) code) {
                return ngx_http_eventbridge_refuse(cf, &value[i],
                                                   "the code is given twice");
            }
        }

        codes = ngx_array_push(elcf->permanent);
        if (codes == NULL) {
            return NGX_CONF_ERROR;
        }

        *codes = code;
    }

    return NGX_CONF_OK;
}


char *
ngx_http_eventbridge_unavailable(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf)
{
    ngx_http_eventbridge_loc_conf_t *elcf = conf;

    time_t      after;
    ngx_str_t  *value, s;

    if (elcf->unavailable != NGX_CONF_UNSET_UINT) {
        return ngx_http_eventbridge_duplicate(cf);
    }

    value = cf->args->elts;
    after = 60;

    if (value[1].len == 5 && ngx_strncmp(value[1].data, "retry", 5) == 0) {
        elcf->unavailable = NGX_HTTP_EVENTBRIDGE_UNAVAILABLE_RETRY;

    } else if (value[1].len == 11
               && ngx_strncmp(value[1].data, "dead_letter", 11) == 0)
    {
        elcf->unavailable = NGX_HTTP_EVENTBRIDGE_UNAVAILABLE_DEAD;

    } else {
        return ngx_http_eventbridge_refuse(cf, &value[1],
                                           "\"retry\" or \"dead_letter\" is "
                                           "expected");
    }

    if (cf->args->nelts == 3) {

        if (elcf->unavailable == NGX_HTTP_EVENTBRIDGE_UNAVAILABLE_RETRY
            || ngx_strncmp(value[2].data, "after=", 6) != 0)
        {
            return ngx_http_eventbridge_refuse(cf, &value[2],
                                    "only \"dead_letter\" has a parameter, "
                                    "which is \"after=\"");
        }

        s.data = value[2].data + 6;
        s.len = value[2].len - 6;

        after = ngx_parse_time(&s, 1);

        if (after == (time_t) NGX_ERROR || s.len == 0) {
            return ngx_http_eventbridge_refuse(cf, &value[2],
                                        "a time in whole seconds is expected");
        }
    }

    elcf->unavailable_after = after;

    return NGX_CONF_OK;
}

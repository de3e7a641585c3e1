
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * What is known of destinations, for metrics and health.
 */


#include "ngx_http_eventbridge_destination.h"


/* server and destination, 256 and 64 bytes, of which each can need three */
#define NGX_HTTP_EVENTBRIDGE_DEST_LABELS  1280

/* the same in JSON, and words, of which each can need six */
#define NGX_HTTP_EVENTBRIDGE_DEST_WORDS   200
#define NGX_HTTP_EVENTBRIDGE_DEST_HEALTH                                      \
    (6 * (64 + 64 + NGX_HTTP_EVENTBRIDGE_DEST_WORDS) + 512)


typedef struct {
    const char               *name;
    const char               *type;
    const char               *help;
    const char               *label;        /* in addition, or NULL */
    ngx_uint_t                probed;       /* only with probes */
} ngx_http_eventbridge_destination_head_t;


static ngx_uint_t ngx_http_eventbridge_destination_figure(
    ngx_http_eventbridge_health_sh_t *sh, ngx_uint_t i, double *value);
static void ngx_http_eventbridge_destination_fold(
    ngx_http_eventbridge_health_sh_t *to,
    ngx_http_eventbridge_health_sh_t *from);
static ngx_int_t ngx_http_eventbridge_destination_labels(ngx_pool_t *pool,
    ngx_http_eventbridge_health_t *health, ngx_str_t *labels);
static void ngx_http_eventbridge_destination_item(
    ngx_http_eventbridge_health_t *health,
    ngx_http_eventbridge_health_sh_t *sh, ngx_eb_out_t *out);


#define NGX_HTTP_EVENTBRIDGE_PHASE_HELP                                       \
    "Time of each phase of the last probe."

/* in this order; ngx_http_eventbridge_destination_figure() has the values */

static ngx_http_eventbridge_destination_head_t
    ngx_http_eventbridge_destination_heads[] = {

    { "eventbridge_destination_up", "gauge",
      "1 while events are sent to the destination, 0 while it is down.",
      NULL, 0 },

    { "eventbridge_destination_downs_total", "counter",
      "Times that the destination went down.", NULL, 0 },

    { "eventbridge_probe_total", "counter",
      "Probes of the destination.", NULL, 1 },

    { "eventbridge_probe_failed_total", "counter",
      "Probes of the destination that failed.", NULL, 1 },

    { "eventbridge_probe_phase_seconds", "gauge",
      NGX_HTTP_EVENTBRIDGE_PHASE_HELP, ",phase=\"dns\"", 1 },
    { "eventbridge_probe_phase_seconds", "gauge",
      NGX_HTTP_EVENTBRIDGE_PHASE_HELP, ",phase=\"tcp\"", 1 },
    { "eventbridge_probe_phase_seconds", "gauge",
      NGX_HTTP_EVENTBRIDGE_PHASE_HELP, ",phase=\"tls\"", 1 },
    { "eventbridge_probe_phase_seconds", "gauge",
      NGX_HTTP_EVENTBRIDGE_PHASE_HELP, ",phase=\"http\"", 1 },
    { "eventbridge_probe_phase_seconds", "gauge",
      NGX_HTTP_EVENTBRIDGE_PHASE_HELP, ",phase=\"total\"", 1 },

    { "eventbridge_probe_certificate_days", "gauge",
      "Whole days for which the certificate seen last is valid.", NULL, 1 }
};


#define NGX_HTTP_EVENTBRIDGE_DEST_HEADS                                       \
    (sizeof(ngx_http_eventbridge_destination_heads)                           \
     / sizeof(ngx_http_eventbridge_destination_head_t))


ngx_uint_t
ngx_http_eventbridge_destination_nextras(
    ngx_http_eventbridge_main_conf_t *emcf)
{
    return emcf->healths ? emcf->healths->nelts
                           * NGX_HTTP_EVENTBRIDGE_DEST_HEADS : 0;
}


ngx_int_t
ngx_http_eventbridge_destination_extras(ngx_pool_t *pool,
    ngx_http_eventbridge_main_conf_t *emcf, ngx_eb_stats_extra_t *extra,
    ngx_uint_t *n)
{
    double                                    value;
    u_char                                   *p;
    ngx_str_t                                *labels;
    ngx_uint_t                                i, j;
    ngx_eb_stats_extra_t                     *e;
    ngx_http_eventbridge_health_t           **healths;
    ngx_http_eventbridge_health_sh_t         *sh;
    ngx_http_eventbridge_destination_head_t  *head;

    if (emcf->healths == NULL) {
        return NGX_OK;
    }

    healths = emcf->healths->elts;

    labels = ngx_palloc(pool, emcf->healths->nelts * sizeof(ngx_str_t));
    sh = ngx_palloc(pool, emcf->healths->nelts
                          * sizeof(ngx_http_eventbridge_health_sh_t));

    if (labels == NULL || sh == NULL) {
        return NGX_ERROR;
    }

    for (i = 0; i < emcf->healths->nelts; i++) {

        if (ngx_http_eventbridge_destination_labels(pool, healths[i],
                                                    &labels[i])
            != NGX_OK)
        {
            return NGX_ERROR;
        }

        ngx_shmtx_lock(&healths[i]->shpool->mutex);
        sh[i] = *healths[i]->sh;
        ngx_shmtx_unlock(&healths[i]->shpool->mutex);

        /* two series of the same labels would be none */

        if (healths[i]->first != i) {
            ngx_http_eventbridge_destination_fold(&sh[healths[i]->first],
                                                  &sh[i]);
        }
    }

    /* those of one name stand together */

    for (j = 0; j < NGX_HTTP_EVENTBRIDGE_DEST_HEADS; j++) {
        head = &ngx_http_eventbridge_destination_heads[j];

        for (i = 0; i < emcf->healths->nelts; i++) {

            if (healths[i]->first != i
                || (head->probed && !healths[i]->conf.probed
                    && sh[i].probes == 0)
                || !ngx_http_eventbridge_destination_figure(&sh[i], j, &value))
            {
                continue;
            }

            e = &extra[(*n)++];

            e->name = head->name;
            e->type = head->type;
            e->help = head->help;
            e->labels = labels[i];
            e->value = value;

            if (head->label == NULL) {
                continue;
            }

            e->labels.len += ngx_strlen(head->label);
            e->labels.data = ngx_pnalloc(pool, e->labels.len);
            if (e->labels.data == NULL) {
                return NGX_ERROR;
            }

            p = ngx_cpymem(e->labels.data, labels[i].data, labels[i].len);
            ngx_memcpy(p, head->label, ngx_strlen(head->label));
        }
    }

    return NGX_OK;
}


/* destinations of several servers with one name: the worst of them, and sums */

static void
ngx_http_eventbridge_destination_fold(ngx_http_eventbridge_health_sh_t *to,
    ngx_http_eventbridge_health_sh_t *from)
{
    if (to->health.state == NGX_EB_HEALTH_UP) {
        to->health.state = from->health.state;
    }

    to->downs += from->downs;
    to->probes += from->probes;
    to->failed += from->failed;

    if (from->checked && (to->checked == 0 || from->total > to->total)) {
        to->checked = from->checked;
        to->total = from->total;
        ngx_memcpy(to->msec, from->msec, sizeof(to->msec));
    }

    if (from->certificate
        && (!to->certificate || from->days_left < to->days_left))
    {
        to->certificate = 1;
        to->days_left = from->days_left;
    }
}


/* is there one?  What no probe has found out has none */

static ngx_uint_t
ngx_http_eventbridge_destination_figure(ngx_http_eventbridge_health_sh_t *sh,
    ngx_uint_t i, double *value)
{
    switch (i) {

    case 0:
        *value = (sh->health.state == NGX_EB_HEALTH_UP);
        return 1;

    case 1:
        *value = (double) sh->downs;
        return 1;

    case 2:
        *value = (double) sh->probes;
        return 1;

    case 3:
        *value = (double) sh->failed;
        return 1;

    case 8:
        *value = (double) sh->total / 1000;
        return sh->checked != 0;

    case 9:
        *value = (double) sh->days_left;
        return sh->certificate;

    default:

        /* phases that it did not come to take no time */

        *value = (double) sh->msec[NGX_EB_PROBE_DNS + i - 4] / 1000;
        return sh->checked != 0;
    }
}


static ngx_int_t
ngx_http_eventbridge_destination_labels(ngx_pool_t *pool,
    ngx_http_eventbridge_health_t *health, ngx_str_t *labels)
{
    ngx_eb_out_t  out;

    labels->data = ngx_pnalloc(pool, NGX_HTTP_EVENTBRIDGE_DEST_LABELS);
    if (labels->data == NULL) {
        return NGX_ERROR;
    }

    ngx_eb_out_init(&out, labels->data, NGX_HTTP_EVENTBRIDGE_DEST_LABELS);

    ngx_eb_out_lit(&out, "server=");
    ngx_eb_out_label(&out, &health->server, 256);
    ngx_eb_out_lit(&out, ",destination=");
    ngx_eb_out_label(&out, &health->destination, 64);

    labels->len = out.pos - labels->data;

    return NGX_OK;
}


size_t
ngx_http_eventbridge_destination_health_size(
    ngx_http_eventbridge_main_conf_t *emcf)
{
    return emcf->healths ? 64 + emcf->healths->nelts
                                * NGX_HTTP_EVENTBRIDGE_DEST_HEALTH : 0;
}


ngx_uint_t
ngx_http_eventbridge_destination_health(
    ngx_http_eventbridge_main_conf_t *emcf, ngx_eb_out_t *out)
{
    ngx_uint_t                         i, down;
    ngx_http_eventbridge_health_t    **healths;
    ngx_http_eventbridge_health_sh_t   sh;

    if (emcf->healths == NULL) {
        return 0;
    }

    healths = emcf->healths->elts;
    down = 0;

    ngx_eb_out_lit(out, ",\"destinations\":[");

    for (i = 0; i < emcf->healths->nelts; i++) {

        ngx_shmtx_lock(&healths[i]->shpool->mutex);
        sh = *healths[i]->sh;
        ngx_shmtx_unlock(&healths[i]->shpool->mutex);

        down |= (sh.health.state != NGX_EB_HEALTH_UP);

        ngx_eb_out_raw(out, ",", i ? 1 : 0);
        ngx_http_eventbridge_destination_item(healths[i], &sh, out);
    }

    ngx_eb_out_lit(out, "]");

    return down;
}


static void
ngx_http_eventbridge_destination_item(ngx_http_eventbridge_health_t *health,
    ngx_http_eventbridge_health_sh_t *sh, ngx_eb_out_t *out)
{
    ngx_str_t    words;
    const char  *name;

    ngx_eb_out_lit(out, "{\"server\":");
    ngx_eb_out_string(out, &health->server, 64);
    ngx_eb_out_lit(out, ",\"destination\":");
    ngx_eb_out_string(out, &health->destination, 64);

    name = ngx_eb_health_name(sh->health.state);

    ngx_eb_out_lit(out, ",\"state\":\"");
    ngx_eb_out_raw(out, name, ngx_strlen(name));
    ngx_eb_out_lit(out, "\"");

    if (sh->since) {
        ngx_eb_out_lit(out, ",\"since\":");
        ngx_eb_out_time(out, (int64_t) sh->since * 1000);
    }

    if (sh->checked == 0) {
        ngx_eb_out_lit(out, "}");
        return;
    }

    ngx_eb_out_lit(out, ",\"checked\":");
    ngx_eb_out_time(out, (int64_t) sh->checked * 1000);

    if (sh->status) {
        ngx_eb_out_lit(out, ",\"status\":");
        ngx_eb_out_int(out, (int64_t) sh->status);
    }

    if (sh->error != NGX_EB_PROBE_OK) {
        name = ngx_eb_probe_phase(sh->phase);

        ngx_eb_out_lit(out, ",\"phase\":\"");
        ngx_eb_out_raw(out, name, ngx_strlen(name));

        name = ngx_eb_probe_class(sh->error);

        ngx_eb_out_lit(out, "\",\"error\":\"");
        ngx_eb_out_raw(out, name, ngx_strlen(name));
        ngx_eb_out_lit(out, "\",\"message\":");

        words.data = sh->words;
        words.len = sh->words_len;

        ngx_eb_out_string(out, &words, NGX_HTTP_EVENTBRIDGE_DEST_WORDS);
    }

    ngx_eb_out_lit(out, ",\"latencyMs\":");
    ngx_eb_out_int(out, (int64_t) sh->total);

    if (sh->certificate) {
        ngx_eb_out_lit(out, ",\"certificateDaysLeft\":");
        ngx_eb_out_int(out, sh->days_left);
    }

    ngx_eb_out_lit(out, "}");
}

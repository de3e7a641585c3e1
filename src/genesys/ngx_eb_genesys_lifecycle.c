
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The engine of interaction lifecycles: what becomes of an event.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_genesys_lifecycle_table.h"


/* those at whose end of grace is looked in one call */
#define NGX_EB_LIFECYCLE_LOOKS    8

/* an eviction is not urgent, ms */
#define NGX_EB_LIFECYCLE_LEISURE  1000


typedef struct {
    ngx_eb_lifecycle_kind_e   kind;
    ngx_eb_lifecycle_flag_e   flag;
    ngx_uint_t                gap;
} ngx_eb_lifecycle_verdict_t;


static ngx_uint_t ngx_eb_lifecycle_valid(ngx_eb_lifecycle_t *lc,
    ngx_eb_lifecycle_event_t *event);
static ngx_uint_t ngx_eb_lifecycle_known(ngx_eb_lifecycle_t *lc,
    ngx_eb_lifecycle_entry_t *e, ngx_eb_lifecycle_event_t *event);
static ngx_uint_t ngx_eb_lifecycle_judged(ngx_eb_lifecycle_entry_t *e,
    int64_t time, uint8_t previous, uint8_t current);
static ngx_uint_t ngx_eb_lifecycle_accepted(ngx_eb_lifecycle_entry_t *e,
    int64_t time, uint8_t previous, uint8_t current);
static void ngx_eb_lifecycle_judge(ngx_eb_lifecycle_t *lc,
    ngx_eb_lifecycle_entry_t *e, ngx_eb_lifecycle_held_t *held,
    ngx_eb_lifecycle_verdict_t *v);
static void ngx_eb_lifecycle_weigh(ngx_eb_lifecycle_t *lc,
    ngx_eb_lifecycle_entry_t *e, ngx_eb_lifecycle_held_t *held,
    ngx_eb_lifecycle_verdict_t *v);
static void ngx_eb_lifecycle_flagged(ngx_eb_lifecycle_entry_t *e,
    ngx_eb_lifecycle_decision_t *d);
static ngx_int_t ngx_eb_lifecycle_evict(ngx_eb_lifecycle_t *lc,
    ngx_eb_lifecycle_list_t *list, int64_t limit, int64_t now,
    ngx_eb_lifecycle_decision_t *d);
static int64_t ngx_eb_lifecycle_sooner(ngx_eb_lifecycle_t *lc,
    ngx_eb_lifecycle_list_t *list, int64_t limit, int64_t now, int64_t wait);
static void ngx_eb_lifecycle_whose(ngx_eb_lifecycle_t *lc, uint32_t i,
    ngx_eb_lifecycle_decision_t *d);
static void ngx_eb_lifecycle_latency(ngx_eb_lifecycle_t *lc, int64_t ms);


const int64_t  ngx_eb_lifecycle_bounds[NGX_EB_LIFECYCLE_BUCKETS] = {
    5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, -1
};


const ngx_str_t  ngx_eb_lifecycle_flags[NGX_EB_LIFECYCLE_FLAGS] = {
    ngx_string("late"),
    ngx_string("initial"),
    ngx_string("mismatch"),
    ngx_string("transition"),
    ngx_string("ended"),
    ngx_string("stages")
};


ngx_int_t
ngx_eb_lifecycle_event(ngx_eb_lifecycle_t *lc, ngx_eb_lifecycle_event_t *event)
{
    uint32_t                      i;
    ngx_eb_lifecycle_counters_t  *counters;

    if (!ngx_eb_lifecycle_valid(lc, event)) {
        return NGX_ERROR;
    }

    counters = &lc->header->counters;
    i = ngx_eb_lifecycle_lookup(lc, &event->interaction);

    if (i != NGX_EB_LIFECYCLE_NIL
        && ngx_eb_lifecycle_known(lc, &lc->entries[i], event))
    {
        ngx_eb_lifecycle_count(lc, &counters->duplicates);
        return NGX_DECLINED;
    }

    /* nothing is made for an event that finds no room */

    if ((lc->header->held_free == NGX_EB_LIFECYCLE_NIL
         && lc->header->held_used == lc->header->nheld)
        || (i != NGX_EB_LIFECYCLE_NIL
            && lc->entries[i].nheld >= 2 * NGX_EB_LIFECYCLE_HELD))
    {
        ngx_eb_lifecycle_count(lc, &counters->refused);
        return NGX_BUSY;
    }

    if (i == NGX_EB_LIFECYCLE_NIL) {
        i = ngx_eb_lifecycle_create(lc, &event->interaction, event->at);

        if (i == NGX_EB_LIFECYCLE_NIL) {
            ngx_eb_lifecycle_count(lc, &counters->refused);
            return NGX_BUSY;
        }
    }

    (void) ngx_eb_lifecycle_hold(lc, i, event);

    if (ngx_eb_lifecycle_due(lc, &lc->entries[i])) {
        ngx_eb_lifecycle_ready_add(lc, i);
    }

    ngx_eb_lifecycle_count(lc, &counters->captured);

    if (event->flags & NGX_EB_LIFECYCLE_F_NOTIME) {
        ngx_eb_lifecycle_count(lc, &counters->notime);
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_eb_lifecycle_valid(ngx_eb_lifecycle_t *lc, ngx_eb_lifecycle_event_t *event)
{
    ngx_uint_t  n;

    n = lc->conf->states->n;

    return event->interaction.len > 0
           && event->interaction.len <= NGX_EB_LIFECYCLE_ID
           && event->id.len <= NGX_EB_LIFECYCLE_ID
           && event->time >= 0
           && event->time <= NGX_EB_LIFECYCLE_MAX_TIME
           && event->at >= 0
           && event->at <= NGX_EB_LIFECYCLE_MAX_TIME
           && event->current < n
           && (event->previous < n
               || event->previous == NGX_EB_LIFECYCLE_NONE)
           && (event->only < n || event->only == NGX_EB_LIFECYCLE_NONE);
}


/*
 * An event that is sent again may have another id: time and states make a
 * transition of an interaction what it is.
 */

static ngx_uint_t
ngx_eb_lifecycle_known(ngx_eb_lifecycle_t *lc, ngx_eb_lifecycle_entry_t *e,
    ngx_eb_lifecycle_event_t *event)
{
    return ngx_eb_lifecycle_judged(e, event->time, event->previous,
                                   event->current)
           || ngx_eb_lifecycle_holds(lc, e, event);
}


/* accepted, or among what was not */

static ngx_uint_t
ngx_eb_lifecycle_judged(ngx_eb_lifecycle_entry_t *e, int64_t time,
    uint8_t previous, uint8_t current)
{
    uint64_t    key;
    ngx_uint_t  i;

    key = ngx_eb_lifecycle_key(time, current, previous);

    for (i = 0; i < e->nflagged; i++) {
        if (e->flagged[i] == key) {
            return 1;
        }
    }

    return ngx_eb_lifecycle_accepted(e, time, previous, current);
}


static ngx_uint_t
ngx_eb_lifecycle_accepted(ngx_eb_lifecycle_entry_t *e, int64_t time,
    uint8_t previous, uint8_t current)
{
    uint64_t    step;
    ngx_uint_t  i;

    for (i = e->nhistory; i > 0; i--) {
        step = e->history[i - 1];

        if (ngx_eb_lifecycle_step_time(step) < time) {
            return 0;
        }

        if (ngx_eb_lifecycle_step_time(step) == time
            && ngx_eb_lifecycle_step_state(step) == current
            && (previous == NGX_EB_LIFECYCLE_NONE
                || (ngx_eb_lifecycle_step_flags(step)
                    & NGX_EB_LIFECYCLE_F_GAP)
                || (i == 1 && e->stage > e->nhistory)
                || (i > 1
                    && ngx_eb_lifecycle_step_state(e->history[i - 2])
                       == previous)))
        {
            return 1;
        }
    }

    return 0;
}


ngx_int_t
ngx_eb_lifecycle_next(ngx_eb_lifecycle_t *lc, int64_t now,
    ngx_eb_lifecycle_decision_t *d)
{
    uint32_t                      h;
    ngx_uint_t                    forced;
    ngx_eb_lifecycle_held_t      *held;
    ngx_eb_lifecycle_entry_t     *e;
    ngx_eb_lifecycle_verdict_t    v;
    ngx_eb_lifecycle_counters_t  *counters;

    counters = &lc->header->counters;

    h = ngx_eb_lifecycle_release(lc, now, &forced);

    if (h == NGX_EB_LIFECYCLE_NIL) {

        if (ngx_eb_lifecycle_evict(lc, &lc->header->resting, lc->conf->grace,
                                   now, d)
            == NGX_OK)
        {
            ngx_eb_lifecycle_count(lc, &counters->evicted_final);
            return NGX_OK;
        }

        if (lc->conf->idle
            && ngx_eb_lifecycle_evict(lc, &lc->header->open, lc->conf->idle,
                                      now, d)
               == NGX_OK)
        {
            ngx_eb_lifecycle_count(lc, &counters->evicted_idle);
            return NGX_OK;
        }

        return NGX_DONE;
    }

    held = &lc->held[h];
    e = &lc->entries[held->entry];

    ngx_eb_lifecycle_judge(lc, e, held, &v);

    d->kind = v.kind;
    d->flag = v.flag;
    d->previous = held->previous;
    d->current = held->current;
    d->only = held->only;
    d->flags = held->flags;
    d->stage = e->stage;
    d->time = held->time;
    d->at = held->at;
    d->event_len = held->id_len;
    ngx_memcpy(d->event, held->id, held->id_len);

    ngx_eb_lifecycle_whose(lc, held->entry, d);

    if (v.kind == NGX_EB_LIFECYCLE_PUBLISH) {
        d->stage = e->stage + 1;

        if (v.gap) {
            d->flags |= NGX_EB_LIFECYCLE_F_GAP;

        } else {
            d->previous = e->state;
        }

        if (ngx_eb_lifecycle_id(lc->conf->states, d) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    ngx_eb_lifecycle_unhold(lc, h);

    if (forced) {
        ngx_eb_lifecycle_count(lc, &counters->forced);
    }

    ngx_eb_lifecycle_begin(&e->seq);

    if (v.kind == NGX_EB_LIFECYCLE_PUBLISH) {
        ngx_eb_lifecycle_accept(lc, e,
                                ngx_eb_lifecycle_step(d->time, d->current,
                                                      d->flags),
                                d->stage);
        e->unpublished++;
        ngx_eb_lifecycle_touch(lc, d->entry, now);

    } else {
        ngx_eb_lifecycle_flagged(e, d);
    }

    ngx_eb_lifecycle_end(&e->seq);

    if (v.kind == NGX_EB_LIFECYCLE_PUBLISH) {
        ngx_eb_lifecycle_gauge(&counters->unpublished, 1);
        ngx_eb_lifecycle_count(lc, &counters->validated);

        if (v.gap) {
            ngx_eb_lifecycle_count(lc, &counters->gaps);
        }

    } else {
        ngx_eb_lifecycle_count(lc, v.kind == NGX_EB_LIFECYCLE_FLAG
                                   ? &counters->flagged[v.flag]
                                   : &counters->unchanged);
    }

    return NGX_OK;
}


static void
ngx_eb_lifecycle_judge(ngx_eb_lifecycle_t *lc, ngx_eb_lifecycle_entry_t *e,
    ngx_eb_lifecycle_held_t *held, ngx_eb_lifecycle_verdict_t *v)
{
    v->kind = NGX_EB_LIFECYCLE_FLAG;
    v->gap = 0;

    if (ngx_eb_lifecycle_is_late(e, held->time)) {
        v->flag = NGX_EB_LIFECYCLE_FLAG_LATE;
        return;
    }

    if ((held->only != NGX_EB_LIFECYCLE_NONE && held->only != e->state)
        || (held->previous == NGX_EB_LIFECYCLE_NONE
            && held->current == e->state)
        || ((held->flags & NGX_EB_LIFECYCLE_F_MAPPED)
            && e->state != NGX_EB_LIFECYCLE_NONE
            && ngx_eb_lifecycle_final(lc->conf->states, e->state)))
    {
        v->kind = NGX_EB_LIFECYCLE_UNCHANGED;

    } else {
        ngx_eb_lifecycle_weigh(lc, e, held, v);

        if (v->kind == NGX_EB_LIFECYCLE_FLAG
            && (held->flags & NGX_EB_LIFECYCLE_F_HINT))
        {
            v->kind = NGX_EB_LIFECYCLE_UNCHANGED;
        }
    }

    if (v->kind != NGX_EB_LIFECYCLE_FLAG) {
        v->flag = NGX_EB_LIFECYCLE_FLAGS;
    }
}


/* flagged for this reason, or to be published */

static void
ngx_eb_lifecycle_weigh(ngx_eb_lifecycle_t *lc, ngx_eb_lifecycle_entry_t *e,
    ngx_eb_lifecycle_held_t *held, ngx_eb_lifecycle_verdict_t *v)
{
    ngx_uint_t                  told, own, begun;
    ngx_eb_lifecycle_states_t  *states;

    states = lc->conf->states;
    told = (held->previous != NGX_EB_LIFECYCLE_NONE);

    /* possible by what it says itself */
    own = told && ngx_eb_lifecycle_allowed(states, held->previous,
                                           held->current);

    if (e->state == NGX_EB_LIFECYCLE_NONE) {
        v->flag = NGX_EB_LIFECYCLE_FLAG_INITIAL;

        if (told
            || (states->initial & ngx_eb_lifecycle_bit(held->current)) == 0)
        {
            /* who leaves an initial state has begun there, though the event
               that said so is missing, or there never was one */

            begun = own
                    && (states->initial
                        & ngx_eb_lifecycle_bit(held->previous));

            if (!begun && (!lc->conf->adopt || (told && !own))) {
                return;
            }

            v->gap = 1;
        }

    } else if (ngx_eb_lifecycle_final(states, e->state)) {
        v->flag = NGX_EB_LIFECYCLE_FLAG_ENDED;
        return;

    } else if (told && held->previous != e->state) {
        v->flag = NGX_EB_LIFECYCLE_FLAG_MISMATCH;

        if (!lc->conf->adopt || !own) {
            return;
        }

        v->gap = 1;

    } else if (!ngx_eb_lifecycle_allowed(states, e->state, held->current)) {
        v->flag = NGX_EB_LIFECYCLE_FLAG_MATRIX;
        return;
    }

    if (e->stage >= lc->conf->stages) {
        v->flag = NGX_EB_LIFECYCLE_FLAG_STAGES;
        return;
    }

    v->kind = NGX_EB_LIFECYCLE_PUBLISH;
}


static void
ngx_eb_lifecycle_flagged(ngx_eb_lifecycle_entry_t *e,
    ngx_eb_lifecycle_decision_t *d)
{
    ngx_eb_lifecycle_remember(e, ngx_eb_lifecycle_key(d->time, d->current,
                                                      d->previous));

    if (d->kind == NGX_EB_LIFECYCLE_FLAG) {
        e->flags |= NGX_EB_LIFECYCLE_LATE << d->flag;
    }
}


static ngx_int_t
ngx_eb_lifecycle_evict(ngx_eb_lifecycle_t *lc, ngx_eb_lifecycle_list_t *list,
    int64_t limit, int64_t now, ngx_eb_lifecycle_decision_t *d)
{
    int64_t                    touched;
    uint32_t                   i;
    ngx_uint_t                 n;
    ngx_eb_lifecycle_entry_t  *e;

    for (n = 0; n < NGX_EB_LIFECYCLE_LOOKS; n++) {
        i = list->first;

        if (i == NGX_EB_LIFECYCLE_NIL) {
            return NGX_DECLINED;
        }

        e = &lc->entries[i];

        if (e->touched + limit > now) {
            return NGX_DECLINED;
        }

        if (!ngx_eb_lifecycle_forgettable(e)) {

            /* others need not wait for it */

            touched = e->touched;
            ngx_eb_lifecycle_touch(lc, i, touched);
            continue;
        }

        ngx_memzero(d, offsetof(ngx_eb_lifecycle_decision_t, interaction));

        d->kind = NGX_EB_LIFECYCLE_EVICT;
        d->flag = NGX_EB_LIFECYCLE_FLAGS;
        d->previous = NGX_EB_LIFECYCLE_NONE;
        d->current = e->state;
        d->only = NGX_EB_LIFECYCLE_NONE;
        d->stage = e->stage;
        d->time = e->nhistory
                  ? ngx_eb_lifecycle_step_time(e->history[e->nhistory - 1])
                  : e->newest;
        d->at = now;

        ngx_eb_lifecycle_whose(lc, i, d);
        ngx_eb_lifecycle_remove(lc, i);

        return NGX_OK;
    }

    return NGX_DECLINED;
}


static void
ngx_eb_lifecycle_whose(ngx_eb_lifecycle_t *lc, uint32_t i,
    ngx_eb_lifecycle_decision_t *d)
{
    ngx_eb_lifecycle_entry_t  *e;

    e = &lc->entries[i];

    d->entry = i;
    d->interaction_len = e->len;
    ngx_memcpy(d->interaction, e->id, e->len);
}


int64_t
ngx_eb_lifecycle_wait(ngx_eb_lifecycle_t *lc, int64_t now)
{
    int64_t                     wait;
    ngx_eb_lifecycle_held_t    *held;
    ngx_eb_lifecycle_header_t  *header;

    header = lc->header;

    if (header->ready.first != NGX_EB_LIFECYCLE_NIL) {
        return 1;
    }

    wait = -1;

    if (header->arrival.first != NGX_EB_LIFECYCLE_NIL) {
        held = &lc->held[header->arrival.first];

        wait = held->at + lc->conf->window - now;
        wait = (held->at > now + lc->conf->window) ? 1 : ngx_max(wait, 1);
    }

    wait = ngx_eb_lifecycle_sooner(lc, &header->resting, lc->conf->grace, now,
                                   wait);

    if (lc->conf->idle) {
        wait = ngx_eb_lifecycle_sooner(lc, &header->open, lc->conf->idle, now,
                                       wait);
    }

    return wait;
}


static int64_t
ngx_eb_lifecycle_sooner(ngx_eb_lifecycle_t *lc, ngx_eb_lifecycle_list_t *list,
    int64_t limit, int64_t now, int64_t wait)
{
    int64_t  left;

    if (list->first == NGX_EB_LIFECYCLE_NIL) {
        return wait;
    }

    left = lc->entries[list->first].touched + limit - now;
    left = ngx_max(left, NGX_EB_LIFECYCLE_LEISURE);

    return (wait == -1 || left < wait) ? left : wait;
}


void
ngx_eb_lifecycle_done(ngx_eb_lifecycle_t *lc, ngx_eb_lifecycle_decision_t *d,
    int64_t now, ngx_uint_t published)
{
    ngx_eb_lifecycle_entry_t     *e;
    ngx_eb_lifecycle_counters_t  *counters;

    counters = &lc->header->counters;

    if (published) {
        ngx_eb_lifecycle_count(lc, &counters->propagated);
        ngx_eb_lifecycle_latency(lc, now - d->at);

    } else {
        ngx_eb_lifecycle_count(lc, &counters->failed);
    }

    if (d->entry >= lc->header->entries_used) {
        return;
    }

    e = &lc->entries[d->entry];

    /* it is pinned: but after a recovery there may have been no room for it */

    if ((e->flags & NGX_EB_LIFECYCLE_USED) == 0
        || e->unpublished == 0
        || e->len != d->interaction_len
        || ngx_memcmp(e->id, d->interaction, e->len) != 0)
    {
        return;
    }

    ngx_eb_lifecycle_begin(&e->seq);

    e->unpublished--;

    if (!published) {
        e->flags |= NGX_EB_LIFECYCLE_FAILED;
    }

    ngx_eb_lifecycle_end(&e->seq);

    ngx_eb_lifecycle_gauge(&counters->unpublished, -1);
}


static void
ngx_eb_lifecycle_latency(ngx_eb_lifecycle_t *lc, int64_t ms)
{
    ngx_uint_t                    i;
    ngx_eb_lifecycle_counters_t  *counters;

    counters = &lc->header->counters;
    ms = ngx_max(ms, 0);

    for (i = 0; i < NGX_EB_LIFECYCLE_BUCKETS - 1; i++) {
        if (ms <= ngx_eb_lifecycle_bounds[i]) {
            break;
        }
    }

    ngx_eb_lifecycle_count(lc, &counters->latencies[i]);
    ngx_eb_lifecycle_gauge(&counters->latency, ms);
}


ngx_int_t
ngx_eb_lifecycle_redo(ngx_eb_lifecycle_t *lc, ngx_eb_lifecycle_decision_t *d)
{
    uint32_t                   i, h, later;
    ngx_str_t                  id;
    ngx_uint_t                 publish;
    ngx_eb_lifecycle_held_t   *held;
    ngx_eb_lifecycle_entry_t  *e;
    ngx_eb_lifecycle_event_t   event;

    publish = (d->kind == NGX_EB_LIFECYCLE_PUBLISH);

    id.data = d->interaction;
    id.len = d->interaction_len;

    ngx_memzero(&event, sizeof(ngx_eb_lifecycle_event_t));

    event.interaction = id;
    event.id.data = d->event;
    event.id.len = d->event_len;
    event.time = d->time;
    event.at = d->at;
    event.previous = d->previous;
    event.current = d->current;
    event.only = NGX_EB_LIFECYCLE_NONE;

    if (!ngx_eb_lifecycle_valid(lc, &event)) {
        return NGX_ERROR;
    }

    i = ngx_eb_lifecycle_lookup(lc, &id);

    if (i == NGX_EB_LIFECYCLE_NIL) {
        i = ngx_eb_lifecycle_create(lc, &id, d->at);

        if (i == NGX_EB_LIFECYCLE_NIL) {
            return NGX_BUSY;
        }
    }

    e = &lc->entries[i];
    d->entry = i;

    for (h = e->window; h != NGX_EB_LIFECYCLE_NIL; h = later) {
        held = &lc->held[h];
        later = held->later;

        if (held->time == d->time && held->current == d->current
            && (held->previous == d->previous
                || (publish && held->previous == NGX_EB_LIFECYCLE_NONE)))
        {
            ngx_eb_lifecycle_unhold(lc, h);
            break;
        }
    }

    /* an interaction of this id has begun anew after it was forgotten */

    if (publish && d->stage == 1 && e->stage > 0
        && d->time > ngx_eb_lifecycle_step_time(e->history[e->nhistory - 1]))
    {
        e->nhistory = 0;
        e->nflagged = 0;
        e->flags &= ~NGX_EB_LIFECYCLE_SHOWN;
    }

    if (publish) {

        if (ngx_eb_lifecycle_accepted(e, d->time, d->previous, d->current)
            || ngx_eb_lifecycle_is_late(e, d->time))
        {
            return NGX_DECLINED;
        }

        ngx_eb_lifecycle_accept(lc, e,
                                ngx_eb_lifecycle_step(d->time, d->current,
                                                      d->flags),
                                d->stage);
        ngx_eb_lifecycle_touch(lc, i, d->at);

        return NGX_OK;
    }

    ngx_eb_lifecycle_flagged(e, d);

    return NGX_OK;
}


void
ngx_eb_lifecycle_reclaim(ngx_eb_lifecycle_t *lc,
    ngx_eb_lifecycle_decision_t *d)
{
    ngx_str_t  id;

    id.data = d->interaction;
    id.len = d->interaction_len;

    d->entry = ngx_eb_lifecycle_lookup(lc, &id);

    if (d->entry != NGX_EB_LIFECYCLE_NIL) {
        lc->entries[d->entry].unpublished++;
        ngx_eb_lifecycle_gauge(&lc->header->counters.unpublished, 1);
    }
}


ngx_int_t
ngx_eb_lifecycle_restore(ngx_eb_lifecycle_t *lc,
    ngx_eb_lifecycle_view_t *view, uint64_t *flagged, ngx_uint_t nflagged)
{
    uint32_t                   i, h, later;
    ngx_str_t                  id;
    ngx_uint_t                 n, states;
    ngx_eb_lifecycle_held_t   *held;
    ngx_eb_lifecycle_step_t   *step;
    ngx_eb_lifecycle_entry_t  *e;

    id.data = view->interaction;
    id.len = view->interaction_len;
    states = lc->conf->states->n;

    if (id.len == 0 || id.len > NGX_EB_LIFECYCLE_ID
        || view->nhistory > NGX_EB_LIFECYCLE_HISTORY
        || nflagged > NGX_EB_LIFECYCLE_FLAGGED
        || view->touched < 0 || view->touched > NGX_EB_LIFECYCLE_MAX_TIME)
    {
        return NGX_ERROR;
    }

    for (n = 0; n < view->nhistory; n++) {
        step = &view->history[n];

        if (step->state >= states || step->time < 0
            || step->time > NGX_EB_LIFECYCLE_MAX_TIME
            || (n > 0 && step->time < view->history[n - 1].time))
        {
            return NGX_ERROR;
        }
    }

    i = ngx_eb_lifecycle_lookup(lc, &id);

    if (i == NGX_EB_LIFECYCLE_NIL) {
        i = ngx_eb_lifecycle_create(lc, &id, view->touched);

        if (i == NGX_EB_LIFECYCLE_NIL) {
            return NGX_BUSY;
        }
    }

    e = &lc->entries[i];
    e->nhistory = 0;

    for (n = 0; n < view->nhistory; n++) {
        step = &view->history[n];

        ngx_eb_lifecycle_accept(lc, e,
                                ngx_eb_lifecycle_step(step->time, step->state,
                                                      step->flags),
                                view->stage);
    }

    ngx_memcpy(e->flagged, flagged, nflagged * sizeof(uint64_t));
    e->nflagged = (uint8_t) nflagged;
    e->flags |= view->flags & NGX_EB_LIFECYCLE_SHOWN;

    /*
     * Events that came again while the snapshot was written stand in front of
     * this, and that they are known stands here only.
     */

    for (h = e->window; h != NGX_EB_LIFECYCLE_NIL; h = later) {
        held = &lc->held[h];
        later = held->later;

        if (ngx_eb_lifecycle_judged(e, held->time, held->previous,
                                    held->current))
        {
            ngx_eb_lifecycle_unhold(lc, h);
        }
    }

    ngx_eb_lifecycle_touch(lc, i, view->touched);

    view->entry = i;

    return NGX_OK;
}

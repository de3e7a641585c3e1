
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The window: events are held for a while, so that those of an interaction
 * which arrive in a wrong order are judged in the right one.
 *
 * An event leaves it when its interaction has seen one that is younger by the
 * length of the window, the watermark, or when it, or one behind it, has been
 * held for so long: what is due takes along all that is in front of it.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_genesys_lifecycle_table.h"


static ngx_uint_t ngx_eb_lifecycle_expired(ngx_eb_lifecycle_t *lc, uint32_t h,
    int64_t now);
static uint32_t ngx_eb_lifecycle_fitting(ngx_eb_lifecycle_t *lc,
    ngx_eb_lifecycle_entry_t *e);
static uint32_t ngx_eb_lifecycle_turn(ngx_eb_lifecycle_t *lc, uint32_t i,
    int64_t now, ngx_uint_t *forced);


uint32_t
ngx_eb_lifecycle_hold(ngx_eb_lifecycle_t *lc, uint32_t entry,
    ngx_eb_lifecycle_event_t *event)
{
    uint32_t                    h, *link;
    ngx_eb_lifecycle_held_t    *held;
    ngx_eb_lifecycle_entry_t   *e;
    ngx_eb_lifecycle_header_t  *header;

    header = lc->header;
    h = header->held_free;

    if (h != NGX_EB_LIFECYCLE_NIL) {
        header->held_free = lc->held[h].later;

    } else if (header->held_used < header->nheld) {
        h = header->held_used++;

    } else {
        return h;
    }

    e = &lc->entries[entry];
    held = &lc->held[h];

    held->time = event->time;
    held->at = event->at;
    held->entry = entry;
    held->previous = event->previous;
    held->current = event->current;
    held->only = event->only;
    held->flags = event->flags;
    held->id_len = (uint8_t) event->id.len;

    if (event->id.len) {
        ngx_memcpy(held->id, event->id.data, event->id.len);
    }

    /* behind those of the same time */

    link = &e->window;

    while (*link != NGX_EB_LIFECYCLE_NIL
           && lc->held[*link].time <= held->time)
    {
        link = &lc->held[*link].later;
    }

    held->later = *link;
    *link = h;

    held->prev = header->arrival.last;
    held->next = NGX_EB_LIFECYCLE_NIL;

    if (held->prev == NGX_EB_LIFECYCLE_NIL) {
        header->arrival.first = h;

    } else {
        lc->held[held->prev].next = h;
    }

    header->arrival.last = h;

    e->nheld++;
    e->newest = ngx_max(e->newest, held->time);

    ngx_eb_lifecycle_gauge(&header->counters.held, 1);

    return h;
}


void
ngx_eb_lifecycle_unhold(ngx_eb_lifecycle_t *lc, uint32_t h)
{
    uint32_t                   *link;
    ngx_eb_lifecycle_held_t    *held;
    ngx_eb_lifecycle_entry_t   *e;
    ngx_eb_lifecycle_header_t  *header;

    header = lc->header;
    held = &lc->held[h];
    e = &lc->entries[held->entry];

    for (link = &e->window; *link != h; link = &lc->held[*link].later) {
        /* void */
    }

    *link = held->later;
    e->nheld--;

    if (held->prev == NGX_EB_LIFECYCLE_NIL) {
        header->arrival.first = held->next;

    } else {
        lc->held[held->prev].next = held->next;
    }

    if (held->next == NGX_EB_LIFECYCLE_NIL) {
        header->arrival.last = held->prev;

    } else {
        lc->held[held->next].prev = held->prev;
    }

    held->later = header->held_free;
    header->held_free = h;

    ngx_eb_lifecycle_gauge(&header->counters.held, -1);
}


ngx_uint_t
ngx_eb_lifecycle_holds(ngx_eb_lifecycle_t *lc, ngx_eb_lifecycle_entry_t *e,
    ngx_eb_lifecycle_event_t *event)
{
    uint32_t                  h;
    ngx_eb_lifecycle_held_t  *held;

    for (h = e->window; h != NGX_EB_LIFECYCLE_NIL; h = held->later) {
        held = &lc->held[h];

        if (held->time > event->time) {
            break;
        }

        if (held->time == event->time && held->current == event->current
            && held->previous == event->previous)
        {
            return 1;
        }
    }

    return 0;
}


ngx_uint_t
ngx_eb_lifecycle_is_late(ngx_eb_lifecycle_entry_t *e, int64_t time)
{
    return e->nhistory
           && time < ngx_eb_lifecycle_step_time(e->history[e->nhistory - 1]);
}


ngx_uint_t
ngx_eb_lifecycle_due(ngx_eb_lifecycle_t *lc, ngx_eb_lifecycle_entry_t *e)
{
    int64_t  time;

    if (e->window == NGX_EB_LIFECYCLE_NIL) {
        return 0;
    }

    time = lc->held[e->window].time;

    return time <= e->newest - lc->conf->window
           || e->nheld > NGX_EB_LIFECYCLE_HELD
           || ngx_eb_lifecycle_is_late(e, time);
}


void
ngx_eb_lifecycle_ready_add(ngx_eb_lifecycle_t *lc, uint32_t i)
{
    ngx_eb_lifecycle_list_t   *list;
    ngx_eb_lifecycle_entry_t  *e;

    e = &lc->entries[i];

    if (e->flags & NGX_EB_LIFECYCLE_READY) {
        return;
    }

    list = &lc->header->ready;

    e->flags |= NGX_EB_LIFECYCLE_READY;
    e->ready = NGX_EB_LIFECYCLE_NIL;

    if (list->last == NGX_EB_LIFECYCLE_NIL) {
        list->first = i;

    } else {
        lc->entries[list->last].ready = i;
    }

    list->last = i;
}


uint32_t
ngx_eb_lifecycle_release(ngx_eb_lifecycle_t *lc, int64_t now,
    ngx_uint_t *forced)
{
    uint32_t                    h, i;
    ngx_eb_lifecycle_entry_t   *e;
    ngx_eb_lifecycle_header_t  *header;

    header = lc->header;

    for ( ;; ) {
        i = header->ready.first;

        if (i != NGX_EB_LIFECYCLE_NIL) {
            h = ngx_eb_lifecycle_turn(lc, i, now, forced);

            if (h != NGX_EB_LIFECYCLE_NIL) {
                return h;
            }

            e = &lc->entries[i];
            e->flags &= ~NGX_EB_LIFECYCLE_READY;
            header->ready.first = e->ready;

            if (header->ready.first == NGX_EB_LIFECYCLE_NIL) {
                header->ready.last = NGX_EB_LIFECYCLE_NIL;
            }

            continue;
        }

        h = header->arrival.first;

        if (h == NGX_EB_LIFECYCLE_NIL || !ngx_eb_lifecycle_expired(lc, h, now))
        {
            return NGX_EB_LIFECYCLE_NIL;
        }

        ngx_eb_lifecycle_ready_add(lc, lc->held[h].entry);
    }
}


/* the event of entry i that is due, or NIL */

static uint32_t
ngx_eb_lifecycle_turn(ngx_eb_lifecycle_t *lc, uint32_t i, int64_t now,
    ngx_uint_t *forced)
{
    uint32_t                   h;
    int64_t                    time;
    ngx_eb_lifecycle_held_t   *held;
    ngx_eb_lifecycle_entry_t  *e;

    e = &lc->entries[i];
    *forced = 0;

    if (e->window == NGX_EB_LIFECYCLE_NIL) {
        return NGX_EB_LIFECYCLE_NIL;
    }

    time = lc->held[e->window].time;

    if (time <= e->newest - lc->conf->window
        || ngx_eb_lifecycle_is_late(e, time))
    {
        return ngx_eb_lifecycle_fitting(lc, e);
    }

    /*
     * Arrivals of an interaction are nearly in order: the first of all is
     * either one of it, or the others can wait.
     */

    h = lc->header->arrival.first;
    held = &lc->held[h];

    if (held->entry == i && ngx_eb_lifecycle_expired(lc, h, now)) {

        if (held->at + lc->conf->window > now
            && held->at <= now + lc->conf->window)
        {
            *forced = 1;
        }

        return ngx_eb_lifecycle_fitting(lc, e);
    }

    if (e->nheld > NGX_EB_LIFECYCLE_HELD) {
        *forced = 1;
        return ngx_eb_lifecycle_fitting(lc, e);
    }

    return NGX_EB_LIFECYCLE_NIL;
}


/*
 * An arrival in the future is one before the clock went back; and if there is
 * no room for another event, the first one has to go.
 */

static ngx_uint_t
ngx_eb_lifecycle_expired(ngx_eb_lifecycle_t *lc, uint32_t h, int64_t now)
{
    int64_t                     at;
    ngx_eb_lifecycle_header_t  *header;

    header = lc->header;
    at = lc->held[h].at;

    return at + lc->conf->window <= now
           || at > now + lc->conf->window
           || (header->held_free == NGX_EB_LIFECYCLE_NIL
               && header->held_used == header->nheld);
}


/*
 * Clocks of seconds are usual: of events of the same time it is the one that
 * can follow where the interaction stands, and else the first that arrived.
 */

static uint32_t
ngx_eb_lifecycle_fitting(ngx_eb_lifecycle_t *lc, ngx_eb_lifecycle_entry_t *e)
{
    int64_t                     time;
    uint32_t                    h;
    ngx_eb_lifecycle_held_t    *held;
    ngx_eb_lifecycle_states_t  *states;

    states = lc->conf->states;
    time = lc->held[e->window].time;

    for (h = e->window; h != NGX_EB_LIFECYCLE_NIL; h = held->later) {
        held = &lc->held[h];

        if (held->time != time) {
            break;
        }

        if (e->state == NGX_EB_LIFECYCLE_NONE) {

            if (held->previous == NGX_EB_LIFECYCLE_NONE
                && (states->initial & ngx_eb_lifecycle_bit(held->current)))
            {
                return h;
            }

        } else if ((held->previous == NGX_EB_LIFECYCLE_NONE
                    || held->previous == e->state)
                   && (held->only == NGX_EB_LIFECYCLE_NONE
                       || held->only == e->state)
                   && ngx_eb_lifecycle_allowed(states, e->state,
                                               held->current))
        {
            return h;
        }
    }

    return e->window;
}

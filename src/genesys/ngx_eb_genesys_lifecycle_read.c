
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Looks at the table of interactions, without a lock while another process
 * writes (the protocol is in ngx_eb_genesys_lifecycle.h), and by the writer.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_genesys_lifecycle_table.h"


/* a change takes less than a microsecond; its writer may have died, or sleep */
#define NGX_EB_LIFECYCLE_ATTEMPTS  1000

#define NGX_EB_LIFECYCLE_WORDS                                               \
    (sizeof(ngx_eb_lifecycle_entry_t) / sizeof(uint64_t))


/* the same memory, in words */
typedef uint64_t __attribute__((may_alias))  ngx_eb_lifecycle_word_t;


static ngx_int_t ngx_eb_lifecycle_search(ngx_eb_lifecycle_t *lc,
    ngx_str_t *interaction, uint32_t hash, ngx_eb_lifecycle_view_t *view);
static ngx_int_t ngx_eb_lifecycle_copy(ngx_eb_lifecycle_t *lc, uint32_t i,
    ngx_eb_lifecycle_entry_t *copy);
static ngx_int_t ngx_eb_lifecycle_view(ngx_eb_lifecycle_t *lc, uint32_t i,
    ngx_eb_lifecycle_entry_t *e, ngx_eb_lifecycle_view_t *view);
static ngx_uint_t ngx_eb_lifecycle_same(uint32_t *seq, uint32_t before);


ngx_int_t
ngx_eb_lifecycle_find(ngx_eb_lifecycle_t *lc, ngx_str_t *interaction,
    ngx_eb_lifecycle_view_t *view)
{
    uint32_t    hash, epoch, links;
    ngx_int_t   rc;
    ngx_uint_t  n;

    if (interaction->len == 0 || interaction->len > NGX_EB_LIFECYCLE_ID) {
        return NGX_DECLINED;
    }

    hash = ngx_eb_lifecycle_hash(lc, interaction->data, interaction->len);

    for (n = 0; n < NGX_EB_LIFECYCLE_ATTEMPTS; n++) {
        epoch = __atomic_load_n(&lc->header->epoch, __ATOMIC_ACQUIRE);

        if (epoch & 1) {
            return NGX_AGAIN;
        }

        links = __atomic_load_n(&lc->header->links, __ATOMIC_ACQUIRE);

        rc = ngx_eb_lifecycle_search(lc, interaction, hash, view);

        if (rc == NGX_AGAIN
            || !ngx_eb_lifecycle_same(&lc->header->epoch, epoch))
        {
            continue;
        }

        if (rc == NGX_OK
            || ((links & 1) == 0
                && ngx_eb_lifecycle_same(&lc->header->links, links)))
        {
            return rc;
        }
    }

    return NGX_AGAIN;
}


static ngx_int_t
ngx_eb_lifecycle_search(ngx_eb_lifecycle_t *lc, ngx_str_t *interaction,
    uint32_t hash, ngx_eb_lifecycle_view_t *view)
{
    uint32_t                  i, steps;
    ngx_eb_lifecycle_entry_t  e;

    i = __atomic_load_n(&lc->buckets[hash & (lc->header->nbuckets - 1)],
                        __ATOMIC_ACQUIRE);

    /* a chain that is changed meanwhile may lead anywhere */

    for (steps = 0; i != NGX_EB_LIFECYCLE_NIL; steps++) {

        if (i >= lc->header->nentries || steps == lc->header->nentries) {
            return NGX_AGAIN;
        }

        if (__atomic_load_n(&lc->entries[i].hash, __ATOMIC_RELAXED) != hash) {
            i = __atomic_load_n(&lc->entries[i].chain, __ATOMIC_RELAXED);
            continue;
        }

        if (ngx_eb_lifecycle_copy(lc, i, &e) != NGX_OK) {
            return NGX_AGAIN;
        }

        if (e.hash == hash && e.len == interaction->len
            && (e.flags & NGX_EB_LIFECYCLE_USED)
            && ngx_memcmp(e.id, interaction->data, e.len) == 0)
        {
            return ngx_eb_lifecycle_view(lc, i, &e, view);
        }

        i = e.chain;
    }

    return NGX_DECLINED;
}


ngx_int_t
ngx_eb_lifecycle_list(ngx_eb_lifecycle_t *lc, ngx_uint_t state,
    uint32_t *cursor, uint32_t look, ngx_eb_lifecycle_view_t *views,
    ngx_uint_t n, ngx_uint_t *found)
{
    uint32_t                  i, last, used, epoch;
    ngx_int_t                 rc;
    ngx_eb_lifecycle_entry_t  e;

    *found = 0;

    epoch = __atomic_load_n(&lc->header->epoch, __ATOMIC_ACQUIRE);

    if (epoch & 1) {
        return NGX_AGAIN;
    }

    used = __atomic_load_n(&lc->header->entries_used, __ATOMIC_RELAXED);
    used = ngx_min(used, lc->header->nentries);

    i = ngx_min(*cursor, used);
    last = (look < used - i) ? i + look : used;

    for ( /* void */ ; i < last && *found < n; i++) {

        /* most are left out unread: a state that is just changing is either */

        if (state != NGX_EB_LIFECYCLE_NONE
            && __atomic_load_n(&lc->entries[i].state, __ATOMIC_RELAXED)
               != state)
        {
            continue;
        }

        rc = ngx_eb_lifecycle_copy(lc, i, &e);

        if (rc != NGX_OK) {
            return rc;
        }

        if ((e.flags & NGX_EB_LIFECYCLE_USED)
            && (state == NGX_EB_LIFECYCLE_NONE || e.state == state))
        {
            (void) ngx_eb_lifecycle_view(lc, i, &e, &views[(*found)++]);
        }
    }

    if (!ngx_eb_lifecycle_same(&lc->header->epoch, epoch)) {
        return NGX_AGAIN;
    }

    *cursor = i;

    return i == used ? NGX_DONE : NGX_OK;
}


static ngx_int_t
ngx_eb_lifecycle_copy(ngx_eb_lifecycle_t *lc, uint32_t i,
    ngx_eb_lifecycle_entry_t *copy)
{
    uint32_t                   seq;
    uint64_t                   to[NGX_EB_LIFECYCLE_WORDS];
    ngx_uint_t                 n, k;
    ngx_eb_lifecycle_word_t   *from;
    ngx_eb_lifecycle_entry_t  *e;

    e = &lc->entries[i];
    from = (ngx_eb_lifecycle_word_t *) e;

    for (n = 0; n < NGX_EB_LIFECYCLE_ATTEMPTS; n++) {
        seq = __atomic_load_n(&e->seq, __ATOMIC_ACQUIRE);

        if (seq & 1) {
            ngx_cpu_pause();
            continue;
        }

        for (k = 0; k < NGX_EB_LIFECYCLE_WORDS; k++) {
            to[k] = __atomic_load_n(&from[k], __ATOMIC_RELAXED);
        }

        if (ngx_eb_lifecycle_same(&e->seq, seq)) {
            ngx_memcpy(copy, to, sizeof(ngx_eb_lifecycle_entry_t));
            return NGX_OK;
        }
    }

    return NGX_AGAIN;
}


static ngx_uint_t
ngx_eb_lifecycle_same(uint32_t *seq, uint32_t before)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);

    return __atomic_load_n(seq, __ATOMIC_RELAXED) == before;
}


static ngx_int_t
ngx_eb_lifecycle_view(ngx_eb_lifecycle_t *lc, uint32_t i,
    ngx_eb_lifecycle_entry_t *e, ngx_eb_lifecycle_view_t *view)
{
    ngx_uint_t                n;
    ngx_eb_lifecycle_step_t  *step;

    view->entry = i;
    view->interaction_len = ngx_min(e->len, NGX_EB_LIFECYCLE_ID);
    view->state = e->state;
    view->stage = e->stage;
    view->nhistory = ngx_min(e->nhistory, NGX_EB_LIFECYCLE_HISTORY);
    view->flags = e->flags & NGX_EB_LIFECYCLE_SHOWN;
    view->unpublished = e->unpublished;
    view->since = e->newest;
    view->touched = e->touched;

    ngx_memcpy(view->interaction, e->id, NGX_EB_LIFECYCLE_ID);

    for (n = 0; n < view->nhistory; n++) {
        step = &view->history[n];

        step->time = ngx_eb_lifecycle_step_time(e->history[n]);
        step->state = ngx_eb_lifecycle_step_state(e->history[n]);
        step->flags = ngx_eb_lifecycle_step_flags(e->history[n]);

        view->since = step->time;
    }

    return NGX_OK;
}


void
ngx_eb_lifecycle_counters(ngx_eb_lifecycle_t *lc,
    ngx_eb_lifecycle_counters_t *counters)
{
    uint64_t    *from, *to;
    ngx_uint_t   i;

    /* all of its members are such */

    from = (uint64_t *) &lc->header->counters;
    to = (uint64_t *) counters;

    for (i = 0; i < sizeof(ngx_eb_lifecycle_counters_t) / sizeof(uint64_t);
         i++)
    {
        to[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
    }
}


ngx_uint_t
ngx_eb_lifecycle_ready(ngx_eb_lifecycle_t *lc)
{
    return (__atomic_load_n(&lc->header->epoch, __ATOMIC_ACQUIRE) & 1) == 0;
}


ngx_int_t
ngx_eb_lifecycle_peek(ngx_eb_lifecycle_t *lc, uint32_t i,
    ngx_eb_lifecycle_view_t *view, uint64_t *flagged, ngx_uint_t *nflagged)
{
    ngx_eb_lifecycle_entry_t  *e;

    if (i >= lc->header->entries_used) {
        return NGX_DECLINED;
    }

    e = &lc->entries[i];

    if ((e->flags & NGX_EB_LIFECYCLE_USED) == 0) {
        return NGX_DECLINED;
    }

    *nflagged = e->nflagged;
    ngx_memcpy(flagged, e->flagged, e->nflagged * sizeof(uint64_t));

    return ngx_eb_lifecycle_view(lc, i, e, view);
}


ngx_int_t
ngx_eb_lifecycle_peek_held(ngx_eb_lifecycle_t *lc, uint32_t i, uint32_t *held,
    ngx_eb_lifecycle_event_t *event)
{
    uint32_t                   h;
    ngx_eb_lifecycle_held_t   *p;
    ngx_eb_lifecycle_entry_t  *e;

    e = &lc->entries[i];

    /* a position is the number of an event and 1 */

    h = *held ? lc->held[*held - 1].later : e->window;

    if (h == NGX_EB_LIFECYCLE_NIL) {
        return NGX_DONE;
    }

    *held = h + 1;
    p = &lc->held[h];

    event->interaction.data = e->id;
    event->interaction.len = e->len;
    event->id.data = p->id;
    event->id.len = p->id_len;
    event->time = p->time;
    event->at = p->at;
    event->previous = p->previous;
    event->current = p->current;
    event->only = p->only;
    event->flags = p->flags;

    return NGX_OK;
}


uint32_t
ngx_eb_lifecycle_entries(ngx_eb_lifecycle_t *lc)
{
    return lc->header->entries_used;
}


/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * An engine of lifecycles for tests: a block, a configuration, and events by
 * the names of their states.
 */


#ifndef _LIFECYCLE_H_INCLUDED_
#define _LIFECYCLE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"
#include "ngx_eb_genesys_lifecycle.h"


typedef struct {
    ngx_eb_lifecycle_t         lc;
    ngx_eb_lifecycle_conf_t    conf;
    ngx_eb_lifecycle_states_t  states;
    void                      *block;
    size_t                     size;
} engine_t;


static ngx_inline void
engine_open(engine_t *e, ngx_uint_t interactions, ngx_uint_t events)
{
    memset(e, 0, sizeof(engine_t));

    ngx_eb_lifecycle_states_init(&e->states);

    e->conf.states = &e->states;
    e->conf.window = 5000;
    e->conf.grace = 3600 * 1000;
    e->conf.stages = 8;

    e->size = ngx_eb_lifecycle_size(interactions, events);
    e->block = malloc(e->size);

    if (e->block == NULL) {
        abort();
    }

    /* what is there must not matter */
    memset(e->block, 0xa5, e->size);

    ngx_eb_lifecycle_init(e->block, interactions, events,
                          0x0123456789abcdefULL);

    if (ngx_eb_lifecycle_attach(&e->lc, &e->conf, e->block, e->size)
        != NGX_OK)
    {
        abort();
    }

    ngx_eb_lifecycle_reset(&e->lc);
    ngx_eb_lifecycle_open(&e->lc);
}


static ngx_inline void
engine_close(engine_t *e)
{
    free(e->block);
}


static ngx_inline uint8_t
state(engine_t *e, const char *name)
{
    ngx_str_t  s;

    if (name == NULL) {
        return NGX_EB_LIFECYCLE_NONE;
    }

    s.data = (u_char *) name;
    s.len = strlen(name);

    return (uint8_t) ngx_eb_lifecycle_states_find(&e->states, &s);
}


static ngx_inline const char *
state_name(engine_t *e, ngx_uint_t n)
{
    static char  buf[4][NGX_EB_LIFECYCLE_NAME + 1];
    static int   i;
    ngx_str_t   *name;

    name = ngx_eb_lifecycle_states_name(&e->states, n);

    if (name == NULL) {
        return "-";
    }

    i = (i + 1) % 4;
    memcpy(buf[i], name->data, name->len);
    buf[i][name->len] = '\0';

    return buf[i];
}


static ngx_inline void
event_set(engine_t *e, ngx_eb_lifecycle_event_t *ev, const char *id,
    const char *previous, const char *current, int64_t time, int64_t at)
{
    memset(ev, 0, sizeof(ngx_eb_lifecycle_event_t));

    ev->interaction.data = (u_char *) id;
    ev->interaction.len = strlen(id);
    ev->id.data = (u_char *) "";
    ev->previous = state(e, previous);
    ev->current = state(e, current);
    ev->only = NGX_EB_LIFECYCLE_NONE;
    ev->time = time;
    ev->at = at;
}


static ngx_inline ngx_int_t
event(engine_t *e, const char *id, const char *previous, const char *current,
    int64_t time, int64_t at)
{
    ngx_eb_lifecycle_event_t  ev;

    event_set(e, &ev, id, previous, current, time, at);

    return ngx_eb_lifecycle_event(&e->lc, &ev);
}


#endif /* _LIFECYCLE_H_INCLUDED_ */

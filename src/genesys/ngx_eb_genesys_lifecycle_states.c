
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The states of interactions, and which may follow which.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_genesys_lifecycle_states.h"


typedef struct {
    ngx_str_t                 from;
    ngx_str_t                 to[3];
} ngx_eb_lifecycle_row_t;


static ngx_uint_t ngx_eb_lifecycle_states_add(
    ngx_eb_lifecycle_states_t *states, ngx_str_t *name);
static ngx_uint_t ngx_eb_lifecycle_states_named(ngx_str_t *name);


/* contracts.md 1.6 */

static ngx_eb_lifecycle_row_t  ngx_eb_lifecycle_rows[] = {
    { ngx_string("queued"), { ngx_string("ringing") } },
    { ngx_string("ringing"),
      { ngx_string("connected"), ngx_string("abandoned") } },
    { ngx_string("connected"),
      { ngx_string("wrapping"), ngx_string("transferred"),
        ngx_string("abandoned") } },
    { ngx_string("wrapping"), { ngx_string("closed") } },
    { ngx_string("transferred"),
      { ngx_string("ringing"), ngx_string("connected") } }
};


void
ngx_eb_lifecycle_states_init(ngx_eb_lifecycle_states_t *states)
{
    ngx_uint_t               i, k, from, to;
    ngx_eb_lifecycle_row_t  *row;

    ngx_memzero(states, sizeof(ngx_eb_lifecycle_states_t));

    for (i = 0;
         i < sizeof(ngx_eb_lifecycle_rows) / sizeof(ngx_eb_lifecycle_rows[0]);
         i++)
    {
        row = &ngx_eb_lifecycle_rows[i];
        from = ngx_eb_lifecycle_states_add(states, &row->from);

        for (k = 0; k < 3 && row->to[k].len; k++) {
            to = ngx_eb_lifecycle_states_add(states, &row->to[k]);
            states->next[from] |= ngx_eb_lifecycle_bit(to);
        }
    }

    states->initial = ngx_eb_lifecycle_bit(0);
}


const char *
ngx_eb_lifecycle_states_transition(ngx_eb_lifecycle_states_t *states,
    ngx_str_t *from, ngx_str_t *to, ngx_uint_t n)
{
    uint32_t    mask;
    ngx_str_t   name;
    ngx_uint_t  i, row, state, plus;

    if (!ngx_eb_lifecycle_states_named(from)) {
        return "invalid name of a state";
    }

    row = ngx_eb_lifecycle_states_add(states, from);

    if (row == NGX_EB_LIFECYCLE_NONE) {
        return "too many states";
    }

    mask = 0;
    plus = 0;

    for (i = 0; i < n; i++) {
        name = to[i];

        if (name.len && name.data[0] == '+') {
            name.data++;
            name.len--;
            plus++;
        }

        if (!ngx_eb_lifecycle_states_named(&name)) {
            return "invalid name of a state";
        }

        state = ngx_eb_lifecycle_states_add(states, &name);

        if (state == NGX_EB_LIFECYCLE_NONE) {
            return "too many states";
        }

        mask |= ngx_eb_lifecycle_bit(state);
    }

    if (plus && plus != n) {
        return "either all or none of the states can have a \"+\"";
    }

    states->next[row] = plus ? (states->next[row] | mask) : mask;

    return NULL;
}


const char *
ngx_eb_lifecycle_states_initial(ngx_eb_lifecycle_states_t *states,
    ngx_str_t *names, ngx_uint_t n)
{
    uint32_t    mask;
    ngx_uint_t  i, state;

    mask = 0;

    for (i = 0; i < n; i++) {
        state = ngx_eb_lifecycle_states_find(states, &names[i]);

        if (state == NGX_EB_LIFECYCLE_NONE) {
            return "unknown initial state";
        }

        mask |= ngx_eb_lifecycle_bit(state);
    }

    if (mask == 0) {
        return "no initial state";
    }

    states->initial = mask;

    return NULL;
}


const char *
ngx_eb_lifecycle_states_check(ngx_eb_lifecycle_states_t *states)
{
    uint32_t    reached, before;
    ngx_uint_t  i;

    reached = states->initial;

    do {
        before = reached;

        for (i = 0; i < states->n; i++) {
            if (reached & ngx_eb_lifecycle_bit(i)) {
                reached |= states->next[i];
            }
        }

    } while (reached != before);

    /* without one, an interaction would be known until it is idle */

    for (i = 0; i < states->n; i++) {
        if ((reached & ngx_eb_lifecycle_bit(i))
            && ngx_eb_lifecycle_final(states, i))
        {
            return NULL;
        }
    }

    return "no final state can be reached";
}


ngx_uint_t
ngx_eb_lifecycle_states_find(ngx_eb_lifecycle_states_t *states,
    ngx_str_t *name)
{
    ngx_uint_t  i;

    for (i = 0; i < states->n; i++) {
        if (states->names[i].len == name->len
            && ngx_memcmp(states->names[i].data, name->data, name->len) == 0)
        {
            return i;
        }
    }

    return NGX_EB_LIFECYCLE_NONE;
}


ngx_str_t *
ngx_eb_lifecycle_states_name(ngx_eb_lifecycle_states_t *states,
    ngx_uint_t state)
{
    return state < states->n ? &states->names[state] : NULL;
}


static ngx_uint_t
ngx_eb_lifecycle_states_add(ngx_eb_lifecycle_states_t *states,
    ngx_str_t *name)
{
    ngx_uint_t  state;

    state = ngx_eb_lifecycle_states_find(states, name);

    if (state != NGX_EB_LIFECYCLE_NONE
        || states->n == NGX_EB_LIFECYCLE_STATES)
    {
        return state;
    }

    states->names[states->n] = *name;

    return states->n++;
}


static ngx_uint_t
ngx_eb_lifecycle_states_named(ngx_str_t *name)
{
    u_char      ch;
    ngx_uint_t  i;

    if (name->len == 0 || name->len > NGX_EB_LIFECYCLE_NAME) {
        return 0;
    }

    for (i = 0; i < name->len; i++) {
        ch = name->data[i];

        if (!((ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z')
              || (ch >= '0' && ch <= '9')
              || ch == '_' || ch == '-' || ch == '.'))
        {
            return 0;
        }
    }

    return 1;
}

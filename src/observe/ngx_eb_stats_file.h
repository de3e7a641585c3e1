
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Private to the stats file (ngx_eb_stats.c) and to what is printed of it
 * (ngx_eb_metrics.c).
 */


#ifndef _NGX_EB_STATS_FILE_H_INCLUDED_
#define _NGX_EB_STATS_FILE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_stats.h"


#define NGX_EB_STATS_SLOTS         4096
#define NGX_EB_STATS_LABELS        878


/* a series, in the file */

typedef struct {
    uint32_t                        kind;
    uint32_t                        state;      /* stored last */
    uint64_t                        check;      /* of kind and labels */
    uint16_t                        len;
    u_char                          labels[NGX_EB_STATS_LABELS];
    ngx_eb_stats_cell_t             cells[NGX_EB_STATS_CELLS];
} ngx_eb_stats_slot_t;


/* a series as it was when it was found to be one: the file may change */

typedef struct {
    uint32_t                        kind;
    ngx_str_t                       labels;
    ngx_eb_stats_cell_t            *cells;      /* in the file */
} ngx_eb_stats_series_t;


/*
 * All series that may be printed, each name once, into list (room for
 * NGX_EB_STATS_SLOTS), and their number.  NGX_OK, NGX_ERROR (no memory).
 */
ngx_int_t ngx_eb_stats_gather(ngx_eb_stats_t *stats, ngx_pool_t *pool,
    ngx_eb_stats_series_t *list, ngx_uint_t *n);

/* FNV-1a over len bytes, going on from hash */
uint64_t ngx_eb_stats_hash(uint64_t hash, const void *data, size_t len);

/* the same over the bounds of all histograms: cells mean something else when
   they change */
uint64_t ngx_eb_stats_bounds(uint64_t hash);


#endif /* _NGX_EB_STATS_FILE_H_INCLUDED_ */


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

#define NGX_EB_STATS_FNV_BASIS     UINT64_C(0xcbf29ce484222325)


/* a series, in the file */

typedef struct {
    uint32_t                        kind;
    uint32_t                        state;      /* stored last */
    uint64_t                        check;      /* of kind and labels */
    uint16_t                        len;
    u_char                          labels[NGX_EB_STATS_LABELS];
    ngx_eb_stats_cell_t             cells[NGX_EB_STATS_CELLS];
} ngx_eb_stats_slot_t;


/*
 * A series that is to be printed.  Another process may write to the file at
 * any moment, so only the cells, of which any value will do, are still there.
 */

typedef struct {
    ngx_uint_t                      kind;       /* < NGX_EB_STATS_KINDS */
    ngx_str_t                       labels;     /* a copy */
    ngx_eb_stats_cell_t            *cells;
} ngx_eb_stats_printed_t;


/*
 * All series that may be printed, each name once, into list (room for
 * NGX_EB_STATS_SLOTS), and their number.  NGX_OK, NGX_ERROR (no memory).
 */
ngx_int_t ngx_eb_stats_gather(ngx_eb_stats_t *stats, ngx_pool_t *pool,
    ngx_eb_stats_printed_t *list, ngx_uint_t *n);

/*
 * The labels as the file can hold them.  When they are too long, each long
 * value is cut and gets a hash of all of them, so that it stays distinct.
 * What could not be printed is only a hash, too.  dst: NGX_EB_STATS_LABELS.
 */
size_t ngx_eb_stats_fit(u_char *dst, ngx_str_t *labels);

/*
 * Is it name="value",... just as ngx_eb_out_label() writes values, and without
 * control characters?  Up to NGX_EB_STATS_LABELS bytes.
 */
ngx_uint_t ngx_eb_stats_printable(u_char *labels, size_t len);

/* FNV-1a over len bytes, going on from hash */
uint64_t ngx_eb_stats_hash(uint64_t hash, const void *data, size_t len);

/* the same over the bounds of all histograms: cells mean something else when
   they change */
uint64_t ngx_eb_stats_bounds(uint64_t hash);


#endif /* _NGX_EB_STATS_FILE_H_INCLUDED_ */


/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Directives with a block of lines of their own: NAME VALUE...;
 */


#ifndef _NGX_HTTP_EVENTBRIDGE_BLOCK_H_INCLUDED_
#define _NGX_HTTP_EVENTBRIDGE_BLOCK_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* a line of the block; the table of them ends with an empty name */

typedef struct {
    ngx_str_t                      name;

    /* what is wrong with the value, or as setters of directives return; conf is
       that of the block, field is at the offset in it */
    char                        *(*set)(ngx_conf_t *cf, void *conf,
                                       void *field);
    size_t                         offset;
    ngx_uint_t                     args;        /* without the name; 0: at
                                               least one */
} ngx_http_eventbridge_line_t;


typedef struct {
    const char                    *directive;
    ngx_str_t                     *name;        /* its first argument */
    void                          *conf;
    ngx_http_eventbridge_line_t   *lines;
} ngx_http_eventbridge_block_t;


/*
 * The lines up to the closing brace; "include" is one of them.  Errors are
 * logged, with the line's name, its value, the directive, the file and the
 * line's number.  The caller's arguments are gone afterwards.
 */
char *ngx_http_eventbridge_block(ngx_conf_t *cf,
    ngx_http_eventbridge_block_t *block);

/*
 * What setters have in common.  A value that was set before is refused; for
 * one that is none of these they return expected.
 */

/* 0 for the first word, 1 for the second */
char *ngx_http_eventbridge_block_choice(ngx_conf_t *cf, ngx_uint_t *which,
    const char *first, const char *second, char *expected);

char *ngx_http_eventbridge_block_number(ngx_conf_t *cf, ngx_uint_t *number,
    ngx_int_t min, ngx_int_t max, char *expected);

/* ms */
char *ngx_http_eventbridge_block_time(ngx_conf_t *cf, ngx_msec_t *msec,
    ngx_int_t min, ngx_int_t max, char *expected);


#endif /* _NGX_HTTP_EVENTBRIDGE_BLOCK_H_INCLUDED_ */

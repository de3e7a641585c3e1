
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Leases: one process at a time, of all workers and of all generations of
 * them, does a certain thing.
 */


#ifndef _NGX_EB_LEASE_H_INCLUDED_
#define _NGX_EB_LEASE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/*
 * Master: opens the file of locks, made when it is not there.  It belongs to
 * who opens it: workers inherit the descriptor.  NGX_INVALID_FILE: logged.
 */
ngx_fd_t ngx_eb_lease_open(ngx_str_t *path, ngx_log_t *log);

/*
 * Worker, never blocks.  NGX_OK: the lease of this name is ours, until it is
 * released or the process ends, however it does; NGX_BUSY: another process has
 * it; NGX_ERROR.  Who has it gets it again.
 */
ngx_int_t ngx_eb_lease_try(ngx_fd_t fd, ngx_str_t *name);
void ngx_eb_lease_release(ngx_fd_t fd, ngx_str_t *name);


#endif /* _NGX_EB_LEASE_H_INCLUDED_ */


/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Who may post, and who may look.
 */


#ifndef _NGX_HTTP_EVENTBRIDGE_AUTH_H_INCLUDED_
#define _NGX_HTTP_EVENTBRIDGE_AUTH_H_INCLUDED_


#include "ngx_http_eventbridge_module.h"
#include "ngx_eb_secrets.h"


typedef struct ngx_http_eventbridge_method_s  ngx_http_eventbridge_method_t;


/* one line eventbridge_auth */

typedef struct {
    ngx_http_eventbridge_method_t     *method;
    ngx_http_eventbridge_auths_t      *level;
    ngx_eb_secrets_t         *secrets;      /* NULL under nginx -s */
    ngx_str_t                 path;         /* of the file, as it is given */
    ngx_str_t                 header;       /* of key and hmac */
    ngx_str_t                 prefix;       /* of a signature */
    const EVP_MD             *md;
    ngx_uint_t                base64;
    time_t                    tolerance;    /* of standard_webhooks */
    u_char                   *file;
    ngx_uint_t                line;
} ngx_http_eventbridge_auth_line_t;


/* what a method says, the better the greater */

typedef enum {
    NGX_HTTP_EVENTBRIDGE_AUTH_MISSING = 0,
    NGX_HTTP_EVENTBRIDGE_AUTH_REPEATED,
    NGX_HTTP_EVENTBRIDGE_AUTH_MALFORMED,
    NGX_HTTP_EVENTBRIDGE_AUTH_EXPIRED,
    NGX_HTTP_EVENTBRIDGE_AUTH_WRONG,
    NGX_HTTP_EVENTBRIDGE_AUTH_ERROR,        /* no memory: it is not known */
    NGX_HTTP_EVENTBRIDGE_AUTH_OK
} ngx_http_eventbridge_auth_e;


struct ngx_http_eventbridge_method_s {
    ngx_str_t                 name;
    ngx_eb_secrets_form_e     form;

    /* takes the arguments behind the method's name */
    char                   *(*parse)(ngx_conf_t *cf,
        ngx_http_eventbridge_auth_line_t *line);

    /* body: NULL in the access phase; *sender only with AUTH_OK */
    ngx_http_eventbridge_auth_e  (*check)(ngx_http_request_t *r,
        ngx_http_eventbridge_auth_line_t *line, ngx_str_t *body,
        ngx_str_t **sender);

    const char               *challenge;    /* of WWW-Authenticate, or NULL */
    ngx_uint_t                body;         /* it signs the body */

    /* what its senders call an event whose body is no known shape: sets id,
       source and type, from the pool of job; NULL: they do not say */
    ngx_int_t               (*event)(ngx_http_eventbridge_job_t *job,
        ngx_eb_json_t *json, ngx_eb_event_t *event);
};


/* how signatures stand in a header, between spaces */

typedef struct {
    ngx_str_t                 prefix;
    size_t                    size;         /* of one, in bytes */
    ngx_uint_t                base64;       /* or hex */
    ngx_uint_t                commas;       /* separate them too */
} ngx_http_eventbridge_signature_t;


/* a request has to satisfy each of those that are configured; the last one
   has no name */
extern ngx_http_eventbridge_method_t  ngx_http_eventbridge_methods[];


char *ngx_http_eventbridge_auth(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
void ngx_http_eventbridge_auth_merge(ngx_conf_t *cf,
    ngx_http_eventbridge_loc_conf_t *prev,
    ngx_http_eventbridge_loc_conf_t *conf);

/* postconfiguration: the phase handler, and lines that have no effect */
ngx_int_t ngx_http_eventbridge_auth_init(ngx_conf_t *cf);

/* can workers read again what the master has read?  Warnings only */
void ngx_http_eventbridge_auth_init_module(ngx_cycle_t *cycle);
void ngx_http_eventbridge_auth_init_process(ngx_cycle_t *cycle);

/*
 * Methods that sign the body, called with its bytes as they came, before they
 * are looked at.  NGX_OK: they hold, or there are none; NGX_HTTP_UNAUTHORIZED:
 * refused, and logged; NGX_ERROR: no memory.
 */
ngx_int_t ngx_http_eventbridge_auth_body(ngx_http_request_t *r,
    ngx_str_t *body);

/* the answer to what ngx_http_eventbridge_auth_body() has refused */
ngx_int_t ngx_http_eventbridge_auth_refuse(ngx_http_request_t *r);

/* the next header of this name; *part and *i, 0 at first, say where to go on */
ngx_table_elt_t *ngx_http_eventbridge_auth_next_header(ngx_list_part_t **part,
    ngx_uint_t *i, ngx_str_t *name);

/*
 * For handlers that control or show what is not for everybody: may the client
 * of r use them?  NGX_OK, or the status that the handler is to return.
 */
ngx_int_t ngx_http_eventbridge_control_access(ngx_http_request_t *r);


/* ngx_http_eventbridge_auth_methods.c */

/* METHOD FILE, and parameters behind it that are left to the caller */
char *ngx_http_eventbridge_auth_parse_named(ngx_conf_t *cf,
    ngx_http_eventbridge_auth_line_t *line);

/* METHOD FILE, and nothing else */
char *ngx_http_eventbridge_auth_parse_file(ngx_conf_t *cf,
    ngx_http_eventbridge_auth_line_t *line);

/* how many headers of that name there are, 2 being several; value: of the
   first one */
ngx_uint_t ngx_http_eventbridge_auth_header(ngx_http_request_t *r,
    ngx_str_t *name, ngx_str_t *value);

/*
 * Decodes the signatures in all headers of that name, the first max of them.
 * Their number; *headers: is there such a header at all?
 */
ngx_uint_t ngx_http_eventbridge_auth_signatures(ngx_http_request_t *r,
    ngx_str_t *name, ngx_http_eventbridge_signature_t *format,
    u_char *signatures, ngx_uint_t max, ngx_uint_t *headers);

/* the check of hmac, and most of that of github */
ngx_http_eventbridge_auth_e ngx_http_eventbridge_auth_hmac(
    ngx_http_request_t *r, ngx_http_eventbridge_auth_line_t *line,
    ngx_str_t *body, ngx_str_t **sender);


/* ngx_http_eventbridge_auth_signed.c: methods of webhooks */

char *ngx_http_eventbridge_auth_parse_webhooks(ngx_conf_t *cf,
    ngx_http_eventbridge_auth_line_t *line);
ngx_http_eventbridge_auth_e ngx_http_eventbridge_auth_webhooks(
    ngx_http_request_t *r, ngx_http_eventbridge_auth_line_t *line,
    ngx_str_t *body, ngx_str_t **sender);
ngx_int_t ngx_http_eventbridge_auth_webhooks_event(
    ngx_http_eventbridge_job_t *job, ngx_eb_json_t *json,
    ngx_eb_event_t *event);
char *ngx_http_eventbridge_auth_parse_github(ngx_conf_t *cf,
    ngx_http_eventbridge_auth_line_t *line);
ngx_http_eventbridge_auth_e ngx_http_eventbridge_auth_github(
    ngx_http_request_t *r, ngx_http_eventbridge_auth_line_t *line,
    ngx_str_t *body, ngx_str_t **sender);
ngx_int_t ngx_http_eventbridge_auth_github_event(
    ngx_http_eventbridge_job_t *job, ngx_eb_json_t *json,
    ngx_eb_event_t *event);


/* ngx_http_eventbridge_auth_sigv4.c */

ngx_http_eventbridge_auth_e ngx_http_eventbridge_auth_sigv4(
    ngx_http_request_t *r, ngx_http_eventbridge_auth_line_t *line,
    ngx_str_t *body, ngx_str_t **sender);

/* the answer to a client of AWS that is refused for this reason */
ngx_int_t ngx_http_eventbridge_auth_sigv4_refuse(ngx_http_request_t *r,
    ngx_http_eventbridge_auth_e why);


#endif /* _NGX_HTTP_EVENTBRIDGE_AUTH_H_INCLUDED_ */

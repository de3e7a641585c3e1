
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Any bytes: the parser and a slow one say the same.
 */

/* sources: src/wire/ngx_eb_json.cc src/wire/ngx_eb_json_string.c */
/* libs: -lsimdjson */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_json.h"
#include "../unit/json_oracle.h"


#define MAX_DEPTH  16


int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);


static ngx_eb_json_parser_t  *parser;


int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    u_char               *copy;
    ngx_eb_json_error_t   err;

    if (parser == NULL) {
        parser = ngx_eb_json_parser_create();
    }

    /* a block of just this size, for the sanitizer to see its bounds */

    copy = malloc(size ? size : 1);

    if (parser == NULL || copy == NULL) {
        abort();
    }

    if (size) {
        memcpy(copy, data, size);
    }

    if (!json_oracle_agrees(parser, copy, size, MAX_DEPTH, &err)) {
        abort();
    }

    if (size && memcmp(copy, data, size) != 0) {
        abort();
    }

    free(copy);

    return 0;
}

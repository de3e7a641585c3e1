
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * All tests of the table, where the processor has no SSE2.
 */

/* libs: -lpthread */


#include <ngx_config.h>
#include <ngx_core.h>

#undef __SSE2__

#include "../../src/checkpoint/ngx_eb_table.c"
#include "table.c"


/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "shim.h"


#define TEXT_MAX  120


typedef struct {
    u_char                   *pos;
    u_char                   *last;
} shim_buf_t;


typedef struct {
    ngx_uint_t                width;
    ngx_uint_t                fraction;
    ngx_uint_t                hex;          /* 0, 'x' or 'X' */
    u_char                    pad;
    unsigned                  unsign:1;
    unsigned                  sized:1;      /* "%*s" */
    size_t                    size;
} shim_spec_t;


static void *shim_alloc(ngx_pool_t *pool, size_t size, size_t alignment);
static void shim_put(shim_buf_t *b, const void *data, size_t len);
static void shim_put_int(shim_buf_t *b, shim_spec_t *spec, int64_t value);
static void shim_put_double(shim_buf_t *b, shim_spec_t *spec, double value);
static ngx_int_t shim_decimal(u_char *p, size_t n, ngx_uint_t max);
static void shim_constructor(void) __attribute__((constructor));
static ngx_uint_t shim_result(ngx_uint_t cond, const char *fmt, va_list args)
    __attribute__((format(printf, 2, 0)));
static void shim_show(const char *what, const u_char *data, size_t len);


ngx_int_t             shim_allocs = -1;
ngx_uint_t            shim_blocks;
ngx_log_t             shim_log;
u_char                shim_log_line[NGX_MAX_ERROR_STR];
ngx_uint_t            shim_log_lines;

static ngx_uint_t     shim_tests;
static ngx_uint_t     shim_failures;
static ngx_time_t     shim_time;
static ngx_cycle_t    shim_cycle;

volatile ngx_time_t  *ngx_cached_time = &shim_time;
volatile ngx_msec_t   ngx_current_msec;
volatile ngx_cycle_t *ngx_cycle = &shim_cycle;
ngx_uint_t            ngx_pagesize = 4096;
ngx_uint_t            ngx_pagesize_shift = 12;
ngx_uint_t            ngx_cacheline_size = 64;
ngx_int_t             ngx_ncpu = 1;
ngx_pid_t             ngx_pid;
ngx_uint_t            ngx_process;
ngx_uint_t            ngx_worker;


static void
shim_constructor(void)
{
    struct timeval  tv;

    ngx_pid = getpid();

    shim_log.log_level = NGX_LOG_INFO;
    shim_cycle.log = &shim_log;

    gettimeofday(&tv, NULL);
    shim_set_time(tv.tv_sec, tv.tv_usec / 1000);
}


void
shim_set_time(time_t sec, ngx_uint_t msec)
{
    shim_time.sec = sec;
    shim_time.msec = msec;
    ngx_current_msec = (ngx_msec_t) sec * 1000 + msec;
}


static void *
shim_alloc(ngx_pool_t *pool, size_t size, size_t alignment)
{
    void              *p;
    ngx_pool_large_t  *large;

    if (shim_allocs == 0) {
        return NULL;
    }

    if (shim_allocs > 0) {
        shim_allocs--;
    }

    large = malloc(sizeof(ngx_pool_large_t));
    if (large == NULL) {
        return NULL;
    }

    if (posix_memalign(&p, alignment, size ? size : 1) != 0) {
        free(large);
        return NULL;
    }

    large->alloc = p;
    large->next = pool->large;
    pool->large = large;

    shim_blocks++;

    return p;
}


ngx_pool_t *
ngx_create_pool(size_t size, ngx_log_t *log)
{
    ngx_pool_t  *pool;

    (void) size;

    pool = calloc(1, sizeof(ngx_pool_t));
    if (pool == NULL) {
        return NULL;
    }

    pool->log = log ? log : &shim_log;
    pool->current = pool;

    return pool;
}


void
ngx_reset_pool(ngx_pool_t *pool)
{
    ngx_pool_large_t  *large, *next;

    for (large = pool->large; large; large = next) {
        next = large->next;
        free(large->alloc);
        free(large);
        shim_blocks--;
    }

    pool->large = NULL;
}


void
ngx_destroy_pool(ngx_pool_t *pool)
{
    ngx_pool_cleanup_t  *c;

    for (c = pool->cleanup; c; c = c->next) {
        if (c->handler) {
            c->handler(c->data);
        }
    }

    ngx_reset_pool(pool);
    free(pool);
}


void *
ngx_palloc(ngx_pool_t *pool, size_t size)
{
    return shim_alloc(pool, size, 2 * sizeof(void *));
}


void *
ngx_pnalloc(ngx_pool_t *pool, size_t size)
{
    return shim_alloc(pool, size, 2 * sizeof(void *));
}


void *
ngx_pcalloc(ngx_pool_t *pool, size_t size)
{
    void  *p;

    p = ngx_palloc(pool, size);
    if (p) {
        ngx_memzero(p, size);
    }

    return p;
}


void *
ngx_pmemalign(ngx_pool_t *pool, size_t size, size_t alignment)
{
    return shim_alloc(pool, size, ngx_max(alignment, sizeof(void *)));
}


ngx_int_t
ngx_pfree(ngx_pool_t *pool, void *p)
{
    ngx_pool_large_t  **large, *found;

    for (large = &pool->large; *large; large = &(*large)->next) {

        if ((*large)->alloc == p) {
            found = *large;
            *large = found->next;

            free(found->alloc);
            free(found);
            shim_blocks--;

            return NGX_OK;
        }
    }

    return NGX_DECLINED;
}


ngx_pool_cleanup_t *
ngx_pool_cleanup_add(ngx_pool_t *p, size_t size)
{
    ngx_pool_cleanup_t  *c;

    c = ngx_palloc(p, sizeof(ngx_pool_cleanup_t));
    if (c == NULL) {
        return NULL;
    }

    c->data = NULL;

    if (size) {
        c->data = ngx_palloc(p, size);
        if (c->data == NULL) {
            return NULL;
        }
    }

    c->handler = NULL;
    c->next = p->cleanup;
    p->cleanup = c;

    return c;
}


void *
ngx_alloc(size_t size, ngx_log_t *log)
{
    (void) log;

    if (shim_allocs == 0) {
        return NULL;
    }

    if (shim_allocs > 0) {
        shim_allocs--;
    }

    return malloc(size ? size : 1);
}


void *
ngx_calloc(size_t size, ngx_log_t *log)
{
    void  *p;

    p = ngx_alloc(size, log);
    if (p) {
        ngx_memzero(p, size);
    }

    return p;
}


void *
ngx_memalign(size_t alignment, size_t size, ngx_log_t *log)
{
    void  *p;

    (void) log;

    return posix_memalign(&p, alignment, size) ? NULL : p;
}


ngx_array_t *
ngx_array_create(ngx_pool_t *p, ngx_uint_t n, size_t size)
{
    ngx_array_t  *a;

    a = ngx_palloc(p, sizeof(ngx_array_t));

    if (a == NULL || ngx_array_init(a, p, n, size) != NGX_OK) {
        return NULL;
    }

    return a;
}


void
ngx_array_destroy(ngx_array_t *a)
{
    (void) ngx_pfree(a->pool, a->elts);
    (void) ngx_pfree(a->pool, a);
}


void *
ngx_array_push(ngx_array_t *a)
{
    return ngx_array_push_n(a, 1);
}


/* old elements are freed: a pointer kept over a push is a bug to be seen */

void *
ngx_array_push_n(ngx_array_t *a, ngx_uint_t n)
{
    void        *elts;
    ngx_uint_t   nalloc;

    if (a->nelts + n > a->nalloc) {
        nalloc = 2 * ngx_max(n, a->nalloc);

        elts = ngx_palloc(a->pool, nalloc * a->size);
        if (elts == NULL) {
            return NULL;
        }

        ngx_memcpy(elts, a->elts, a->nelts * a->size);
        (void) ngx_pfree(a->pool, a->elts);

        a->elts = elts;
        a->nalloc = nalloc;
    }

    a->nelts += n;

    return (u_char *) a->elts + (a->nelts - n) * a->size;
}


static void
shim_put(shim_buf_t *b, const void *data, size_t len)
{
    len = ngx_min(len, (size_t) (b->last - b->pos));

    if (len) {
        b->pos = ngx_cpymem(b->pos, data, len);
    }
}


static void
shim_put_int(shim_buf_t *b, shim_spec_t *spec, int64_t value)
{
    int       n;
    char      text[32];
    uint64_t  u;

    u = (uint64_t) value;

    if (spec->hex) {
        n = snprintf(text, sizeof(text), spec->hex == 'x' ? "%llx" : "%llX",
                     (unsigned long long) u);

    } else {
        if (!spec->unsign && value < 0) {
            shim_put(b, "-", 1);
            u = 0 - u;
        }

        n = snprintf(text, sizeof(text), "%llu", (unsigned long long) u);
    }

    for ( /* void */ ; spec->width > (ngx_uint_t) n; spec->width--) {
        shim_put(b, &spec->pad, 1);
    }

    shim_put(b, text, n);
}


static void
shim_put_double(shim_buf_t *b, shim_spec_t *spec, double value)
{
    int   n;
    char  text[400];

    n = snprintf(text, sizeof(text), "%.*f", (int) spec->fraction, value);
    shim_put(b, text, n);
}


u_char *
ngx_vslprintf(u_char *buf, u_char *last, const char *fmt, va_list args)
{
    u_char         ch, *s;
    size_t         len;
    shim_buf_t     b;
    ngx_str_t     *str;
    shim_spec_t    spec;

    b.pos = buf;
    b.last = last;

    while (*fmt) {

        if (*fmt != '%') {
            shim_put(&b, fmt++, 1);
            continue;
        }

        fmt++;

        ngx_memzero(&spec, sizeof(shim_spec_t));
        spec.pad = (*fmt == '0') ? '0' : ' ';

        while (*fmt >= '0' && *fmt <= '9') {
            spec.width = spec.width * 10 + (*fmt++ - '0');
        }

        for ( ;; ) {

            if (*fmt == 'u') {
                spec.unsign = 1;

            } else if (*fmt == 'x' || *fmt == 'X') {
                spec.unsign = 1;
                spec.hex = *fmt;

            } else if (*fmt == '*') {
                spec.sized = 1;
                spec.size = va_arg(args, size_t);

            } else if (*fmt == '.') {
                while (fmt[1] >= '0' && fmt[1] <= '9') {
                    spec.fraction = spec.fraction * 10 + (*++fmt - '0');
                }

            } else if (*fmt != 'm') {
                break;
            }

            fmt++;
        }

        switch (*fmt++) {

        case 'V':
            str = va_arg(args, ngx_str_t *);
            shim_put(&b, str->data, str->len);
            break;

        case 's':
            s = va_arg(args, u_char *);

            if (!spec.sized) {
                len = ngx_strlen(s);

            } else {
                len = spec.size;
            }

            shim_put(&b, s, len);
            break;

        case 'c':
            ch = (u_char) va_arg(args, int);
            shim_put(&b, &ch, 1);
            break;

        case 'd':
            shim_put_int(&b, &spec, spec.unsign ? (int64_t) va_arg(args, u_int)
                                                : va_arg(args, int));
            break;

        case 'D':
            shim_put_int(&b, &spec, spec.unsign
                                    ? (int64_t) va_arg(args, uint32_t)
                                    : va_arg(args, int32_t));
            break;

        case 'l':
            shim_put_int(&b, &spec, va_arg(args, long));
            break;

        case 'L':
            shim_put_int(&b, &spec, va_arg(args, int64_t));
            break;

        case 'i':
            shim_put_int(&b, &spec, va_arg(args, ngx_int_t));
            break;

        case 'A':
            shim_put_int(&b, &spec, (int64_t) va_arg(args, ngx_atomic_int_t));
            break;

        case 'O':
            shim_put_int(&b, &spec, va_arg(args, off_t));
            break;

        case 'P':
            shim_put_int(&b, &spec, va_arg(args, ngx_pid_t));
            break;

        case 'T':
            shim_put_int(&b, &spec, va_arg(args, time_t));
            break;

        case 'z':
            shim_put_int(&b, &spec, va_arg(args, ssize_t));
            break;

        case 'M':
            spec.unsign = 1;
            shim_put_int(&b, &spec, (int64_t) va_arg(args, ngx_msec_t));
            break;

        case 'p':
            spec.unsign = 1;
            spec.hex = 'X';
            spec.pad = '0';
            spec.width = 2 * sizeof(void *);
            shim_put_int(&b, &spec, (int64_t) (uintptr_t)
                                    va_arg(args, void *));
            break;

        case 'f':
            shim_put_double(&b, &spec, va_arg(args, double));
            break;

        case 'Z':
            shim_put(&b, "", 1);
            break;

        case 'N':
            shim_put(&b, "\n", 1);
            break;

        case '%':
            shim_put(&b, "%", 1);
            break;

        default:
            fprintf(stderr, "the shim knows no \"%%%c\"\n", fmt[-1]);
            abort();
        }
    }

    return b.pos;
}


u_char * ngx_cdecl
ngx_sprintf(u_char *buf, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    va_start(args, fmt);
    p = ngx_vslprintf(buf, (u_char *) UINTPTR_MAX, fmt, args);
    va_end(args);

    return p;
}


u_char * ngx_cdecl
ngx_snprintf(u_char *buf, size_t max, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    va_start(args, fmt);
    p = ngx_vslprintf(buf, buf + max, fmt, args);
    va_end(args);

    return p;
}


u_char * ngx_cdecl
ngx_slprintf(u_char *buf, u_char *last, const char *fmt, ...)
{
    u_char   *p;
    va_list   args;

    va_start(args, fmt);
    p = ngx_vslprintf(buf, last, fmt, args);
    va_end(args);

    return p;
}


void
ngx_log_error_core(ngx_uint_t level, ngx_log_t *log, ngx_err_t err,
    const char *fmt, ...)
{
    u_char   *p, *last;
    va_list   args;

    (void) log;

    last = shim_log_line + NGX_MAX_ERROR_STR - 1;

    va_start(args, fmt);
    p = ngx_vslprintf(shim_log_line, last, fmt, args);
    va_end(args);

    if (err) {
        p = ngx_slprintf(p, last, " (%d: %s)", err, strerror(err));
    }

    *p = '\0';
    shim_log_lines++;

    fprintf(stderr, "# log %d: %s\n", (int) level, (char *) shim_log_line);
}


u_char *
ngx_strerror(ngx_err_t err, u_char *errstr, size_t size)
{
    return ngx_slprintf(errstr, errstr + size, "%s", strerror(err));
}


u_char *
ngx_cpystrn(u_char *dst, u_char *src, size_t n)
{
    size_t  len;

    if (n == 0) {
        return dst;
    }

    len = strnlen((char *) src, n - 1);
    ngx_memcpy(dst, src, len);
    dst[len] = '\0';

    return dst + len;
}


void
ngx_strlow(u_char *dst, u_char *src, size_t n)
{
    while (n--) {
        *dst++ = ngx_tolower(*src);
        src++;
    }
}


u_char *
ngx_pstrdup(ngx_pool_t *pool, ngx_str_t *src)
{
    u_char  *p;

    p = ngx_pnalloc(pool, src->len);
    if (p) {
        ngx_memcpy(p, src->data, src->len);
    }

    return p;
}


ngx_int_t
ngx_strcasecmp(u_char *s1, u_char *s2)
{
    return strcasecmp((char *) s1, (char *) s2);
}


ngx_int_t
ngx_strncasecmp(u_char *s1, u_char *s2, size_t n)
{
    return strncasecmp((char *) s1, (char *) s2, n);
}


static ngx_int_t
shim_decimal(u_char *p, size_t n, ngx_uint_t max)
{
    ngx_uint_t  value, digit;

    if (n == 0) {
        return NGX_ERROR;
    }

    for (value = 0; n--; p++) {

        if (*p < '0' || *p > '9') {
            return NGX_ERROR;
        }

        digit = *p - '0';

        if (value > (max - digit) / 10) {
            return NGX_ERROR;
        }

        value = value * 10 + digit;
    }

    return (ngx_int_t) value;
}


ngx_int_t
ngx_atoi(u_char *line, size_t n)
{
    return shim_decimal(line, n, NGX_MAX_INT_T_VALUE);
}


ssize_t
ngx_atosz(u_char *line, size_t n)
{
    return shim_decimal(line, n, NGX_MAX_SIZE_T_VALUE);
}


off_t
ngx_atoof(u_char *line, size_t n)
{
    return shim_decimal(line, n, NGX_MAX_OFF_T_VALUE);
}


time_t
ngx_atotm(u_char *line, size_t n)
{
    return shim_decimal(line, n, NGX_MAX_TIME_T_VALUE);
}


ngx_int_t
ngx_hextoi(u_char *line, size_t n)
{
    u_char      ch;
    ngx_uint_t  value;

    if (n == 0) {
        return NGX_ERROR;
    }

    for (value = 0; n--; line++) {

        ch = ngx_tolower(*line);

        if (!isxdigit(ch) || value > NGX_MAX_INT_T_VALUE / 16) {
            return NGX_ERROR;
        }

        value = value * 16 + (ch <= '9' ? ch - '0' : ch - 'a' + 10);
    }

    return (ngx_int_t) value;
}


u_char *
ngx_hex_dump(u_char *dst, u_char *src, size_t len)
{
    static const char  hex[] = "0123456789abcdef";

    while (len--) {
        *dst++ = hex[*src >> 4];
        *dst++ = hex[*src++ & 0xf];
    }

    return dst;
}


void
ngx_explicit_memzero(void *buf, size_t n)
{
    explicit_bzero(buf, n);
}


u_char *
ngx_strlcasestrn(u_char *s1, u_char *last, u_char *s2, size_t n)
{
    /* n is one less than the length of s2 */

    for ( /* void */ ; last - s1 > (ssize_t) n; s1++) {
        if (ngx_strncasecmp(s1, s2, n + 1) == 0) {
            return s1;
        }
    }

    return NULL;
}


ngx_int_t
ngx_decode_base64(ngx_str_t *dst, ngx_str_t *src)
{
    static const char  digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789+/";

    u_char      *p;
    size_t       i, len;
    uint32_t     bits;
    const char  *digit;

    for (len = src->len; len && src->data[len - 1] == '='; len--) { /* void */ }

    if (len % 4 == 1) {
        return NGX_ERROR;
    }

    p = dst->data;
    bits = 0;

    for (i = 0; i < len; i++) {
        digit = src->data[i] ? strchr(digits, src->data[i]) : NULL;

        if (digit == NULL) {
            return NGX_ERROR;
        }

        bits = bits << 6 | (uint32_t) (digit - digits);

        if (i % 4) {
            *p++ = (u_char) (bits >> (6 - 2 * (i % 4)));
        }
    }

    dst->len = p - dst->data;

    return NGX_OK;
}


void
ngx_encode_base64(ngx_str_t *dst, ngx_str_t *src)
{
    static const char  digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "abcdefghijklmnopqrstuvwxyz0123456789+/";

    u_char    *p;
    size_t     i, n;
    uint32_t   bits;

    p = dst->data;

    for (i = 0; i < src->len; i += 3) {
        n = ngx_min(src->len - i, 3);

        bits = (uint32_t) src->data[i] << 16;
        bits |= (n > 1) ? (uint32_t) src->data[i + 1] << 8 : 0;
        bits |= (n > 2) ? src->data[i + 2] : 0;

        *p++ = digits[bits >> 18];
        *p++ = digits[bits >> 12 & 63];
        *p++ = (n > 1) ? digits[bits >> 6 & 63] : '=';
        *p++ = (n > 2) ? digits[bits & 63] : '=';
    }

    dst->len = p - dst->data;
}


/* of the types of nginx only NGX_ESCAPE_URI_COMPONENT: all but unreserved */

uintptr_t
ngx_escape_uri(u_char *dst, u_char *src, size_t size, ngx_uint_t type)
{
    size_t      i;
    ngx_uint_t  n;

    if (type != NGX_ESCAPE_URI_COMPONENT) {
        abort();
    }

    n = 0;

    for (i = 0; i < size; i++) {

        if (isascii(src[i]) && (isalnum(src[i]) || strchr("-._~", src[i]))
            && src[i])
        {
            if (dst) {
                *dst++ = src[i];
            }

            continue;
        }

        n++;

        if (dst) {
            dst = ngx_sprintf(dst, "%%%02Xi", (ngx_int_t) src[i]);
        }
    }

    return dst ? (uintptr_t) dst : n;
}


time_t
ngx_parse_http_time(u_char *value, size_t len)
{
    static const char  *formats[] = {
        "%a, %d %b %Y %T GMT",      /* RFC 7231 */
        "%A, %d-%b-%y %T GMT",      /* RFC 850 */
        "%a %b %d %T %Y"            /* asctime() */
    };

    char        text[64], *end;
    struct tm   tm;
    ngx_uint_t  i;

    if (len >= sizeof(text)) {
        return NGX_ERROR;
    }

    ngx_memcpy(text, value, len);
    text[len] = '\0';

    for (i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        ngx_memzero(&tm, sizeof(struct tm));
        end = strptime(text, formats[i], &tm);

        if (end == text + len) {
            return timegm(&tm);
        }
    }

    return NGX_ERROR;
}


uint32_t
ngx_utf8_decode(u_char **p, size_t n)
{
    u_char    ch;
    size_t    i, len;
    uint32_t  value, min;

    ch = **p;

    if (ch >= 0xf0 && ch < 0xf8) {
        value = ch & 0x07;
        min = 0x10000;
        len = 3;

    } else if (ch >= 0xe0 && ch < 0xf0) {
        value = ch & 0x0f;
        min = 0x800;
        len = 2;

    } else if (ch >= 0xc2 && ch < 0xe0) {
        value = ch & 0x1f;
        min = 0x80;
        len = 1;

    } else {
        (*p)++;
        return 0xffffffff;
    }

    if (n <= len) {
        return 0xfffffffe;
    }

    (*p)++;

    for (i = 0; i < len; i++) {
        ch = *(*p)++;

        if ((ch & 0xc0) != 0x80) {
            return 0xffffffff;
        }

        value = (value << 6) | (ch & 0x3f);
    }

    return (value >= min && value < 0x110000) ? value : 0xffffffff;
}


size_t
ngx_utf8_length(u_char *p, size_t n)
{
    u_char  *last;
    size_t   len;

    last = p + n;

    for (len = 0; p < last; len++) {

        if (*p < 0x80) {
            p++;

        } else if (ngx_utf8_decode(&p, last - p) > 0x10ffff) {
            return n;
        }
    }

    return len;
}


static ngx_uint_t
shim_result(ngx_uint_t cond, const char *fmt, va_list args)
{
    shim_tests++;

    if (!cond) {
        shim_failures++;
    }

    printf("%sok %d - ", cond ? "" : "not ", (int) shim_tests);
    vprintf(fmt, args);
    printf("\n");
    fflush(stdout);

    return cond ? 1 : 0;
}


static void
shim_show(const char *what, const u_char *data, size_t len)
{
    size_t  i;

    printf("# %s: %d bytes: ", what, (int) len);

    for (i = 0; i < len && i < TEXT_MAX; i++) {
        printf(data[i] < ' ' || data[i] > '~' ? "\\x%02x" : "%c", data[i]);
    }

    printf("%s\n", i < len ? "..." : "");
}


ngx_uint_t
ok(ngx_uint_t cond, const char *fmt, ...)
{
    va_list  args;

    va_start(args, fmt);
    cond = shim_result(cond, fmt, args);
    va_end(args);

    return cond;
}


ngx_uint_t
is_int(int64_t got, int64_t expected, const char *fmt, ...)
{
    va_list     args;
    ngx_uint_t  cond;

    va_start(args, fmt);
    cond = shim_result(got == expected, fmt, args);
    va_end(args);

    if (!cond) {
        printf("# got %lld, expected %lld\n", (long long) got,
               (long long) expected);
    }

    return cond;
}


ngx_uint_t
is_str(ngx_str_t *got, const char *expected, const char *fmt, ...)
{
    size_t      len;
    va_list     args;
    ngx_uint_t  cond;

    len = strlen(expected);
    cond = (got->len == len
            && (len == 0 || memcmp(got->data, expected, len) == 0));

    va_start(args, fmt);
    cond = shim_result(cond, fmt, args);
    va_end(args);

    if (!cond) {
        shim_show("got", got->data, got->len);
        shim_show("expected", (const u_char *) expected, len);
    }

    return cond;
}


void
diag(const char *fmt, ...)
{
    va_list  args;

    printf("# ");

    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);

    printf("\n");
    fflush(stdout);
}


void
skip_all(const char *why)
{
    printf("1..0 # SKIP %s\n", why);
    exit(0);
}


int
done_testing(void)
{
    printf("1..%d\n", (int) shim_tests);

    if (shim_failures) {
        printf("# %d of %d tests failed\n", (int) shim_failures,
               (int) shim_tests);
    }

    return (shim_failures || shim_tests == 0) ? 1 : 0;
}

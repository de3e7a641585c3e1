
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Addresses in event patterns and events, as Event Ruler reads and compares
 * them.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_pattern_form.h"


static size_t ngx_eb_pattern_ipv4(u_char *p, size_t len, u_char *address);
static size_t ngx_eb_pattern_ipv6(u_char *p, size_t len, u_char *address);


size_t
ngx_eb_pattern_address(u_char *p, size_t len, u_char *address)
{
    size_t  i;
    u_char  ch;

    /* a character says no to nearly all strings, and soon */

    for (i = 0; i < len; i++) {
        ch = p[i];

        if (ch == '.') {
            return ngx_eb_pattern_ipv4(p, len, address);
        }

        if (ch == ':') {
            return ngx_eb_pattern_ipv6(p, len, address);
        }

        if ((ch < '0' || ch > '9') && ((ch | 0x20) < 'a' || (ch | 0x20) > 'f'))
        {
            break;
        }
    }

    return 0;
}


/* four decimal numbers, which may have zeros before them */

static size_t
ngx_eb_pattern_ipv4(u_char *p, size_t len, u_char *address)
{
    u_char      *last;
    ngx_uint_t   n, value, digits;

    if (len > sizeof("255.255.255.255") - 1) {
        return 0;
    }

    last = p + len;
    value = 0;
    digits = 0;
    n = 0;

    for ( /* void */ ; p < last; p++) {

        if (*p >= '0' && *p <= '9') {
            value = value * 10 + (*p - '0');
            digits++;

            if (value > 255) {
                return 0;
            }

            continue;
        }

        if (*p != '.' || digits == 0 || n == 3) {
            return 0;
        }

        address[n++] = (u_char) value;
        value = 0;
        digits = 0;
    }

    if (n != 3 || digits == 0) {
        return 0;
    }

    address[3] = (u_char) value;

    return 4;
}


/*
 * Hexadecimal numbers and colons only, no dotted tail and no zone; a number may
 * have more zeros before it than it needs.  An IPv4-mapped address is an IPv4
 * address.
 */

static size_t
ngx_eb_pattern_ipv6(u_char *p, size_t len, u_char *address)
{
    u_char      *last, ch;
    size_t       n, gap, tail;
    ngx_uint_t   digits, value, colon;

    static const u_char  mapped[12] = {
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff
    };

    ngx_memzero(address, 16);

    last = p + len;
    gap = 17;
    n = 0;
    value = 0;
    digits = 0;
    colon = 0;

    if (*p == ':') {
        p++;

        if (p == last || *p != ':') {
            return 0;
        }

        colon = 1;
    }

    for ( /* void */ ; p < last; p++) {
        ch = *p;

        if (ch == ':') {

            if (digits == 0) {

                /* two in a row, once */

                if (gap != 17) {
                    return 0;
                }

                gap = n;
                colon = 0;
                continue;
            }

            if (n == 16) {
                return 0;
            }

            address[n++] = (u_char) (value >> 8);
            address[n++] = (u_char) value;

            value = 0;
            digits = 0;
            colon = 1;

            continue;
        }

        if (ch >= '0' && ch <= '9') {
            ch -= '0';

        } else {
            ch |= 0x20;

            if (ch < 'a' || ch > 'f') {
                return 0;
            }

            ch -= 'a' - 10;
        }

        value = (value << 4) | ch;
        digits++;
        colon = 0;

        if (value > 0xffff) {
            return 0;
        }
    }

    if (colon) {

        /* one colon at the end */

        return 0;
    }

    if (digits) {

        if (n == 16) {
            return 0;
        }

        address[n++] = (u_char) (value >> 8);
        address[n++] = (u_char) value;
    }

    if (gap != 17) {

        if (n == 16) {
            return 0;
        }

        tail = n - gap;
        ngx_memmove(address + 16 - tail, address + gap, tail);
        ngx_memzero(address + gap, 16 - n);
        n = 16;
    }

    if (n != 16) {
        return 0;
    }

    if (ngx_memcmp(address, mapped, 12) == 0) {
        ngx_memmove(address, address + 12, 4);
        return 4;
    }

    return 16;
}


const char *
ngx_eb_pattern_cidr(ngx_str_t *text, ngx_eb_pattern_address_t *range)
{
    u_char      *slash, *p, *last, bit;
    size_t       i, len;
    ngx_uint_t   mask, bits;

    p = text->data;
    len = text->len;

    /* slashes at the end count for nothing */

    while (len && p[len - 1] == '/') {
        len--;
    }

    last = p + len;

    slash = len ? memchr(p, '/', len) : NULL;

    if (slash == NULL || memchr(slash + 1, '/', last - slash - 1)) {
        return "Malformed CIDR, one '/' required";
    }

    len = slash - p;
    p = slash + 1;

    if (p < last && *p == '-' && p + 1 < last) {
        return "Malformed CIDR, mask bits must not be negative";
    }

    if (p < last && *p == '+') {
        p++;
    }

    if (p == last) {
        return "Malformed CIDR, mask bits must be an integer";
    }

    for (mask = 0; p < last; p++) {

        if (*p < '0' || *p > '9') {
            return "Malformed CIDR, mask bits must be an integer";
        }

        mask = mask * 10 + (*p - '0');

        if (mask > 1000) {
            mask = 1000;
        }
    }

    range->len = ngx_eb_pattern_address(text->data, len, range->bottom);

    if (range->len == 0) {
        return "Invalid IP address";
    }

    bits = range->len * 8;

    if (mask >= bits) {
        return (bits == 32) ? "IPv4 mask bits must be < 32"
                            : "IPv6 mask bits must be < 128";
    }

    ngx_memcpy(range->top, range->bottom, range->len);

    for (i = mask; i < bits; i++) {
        bit = (u_char) (0x80 >> (i % 8));

        range->bottom[i / 8] &= (u_char) ~bit;
        range->top[i / 8] |= bit;
    }

    return NULL;
}


/*
 * Event Ruler compares the hexadecimal digits from the left, and has decided
 * when a digit is neither that of the bottom nor that of the top, however many
 * digits there are: an IPv6 address may be in a range of IPv4 addresses, if
 * its first digits are, and the other way round.
 */

ngx_uint_t
ngx_eb_pattern_in_range(ngx_eb_pattern_address_t *range, u_char *address,
    size_t len)
{
    size_t      i, n;
    u_char      x, b, t;
    ngx_uint_t  low, high, shift;

    n = 2 * ngx_min(len, range->len);
    low = 1;
    high = 1;

    for (i = 0; i < n; i++) {
        shift = (i & 1) ? 0 : 4;

        x = (address[i / 2] >> shift) & 0xf;
        b = (range->bottom[i / 2] >> shift) & 0xf;
        t = (range->top[i / 2] >> shift) & 0xf;

        if ((low && x < b) || (high && x > t)) {
            return 0;
        }

        low = (low && x == b);
        high = (high && x == t);

        if (!low && !high) {
            return 1;
        }
    }

    return len >= range->len;
}

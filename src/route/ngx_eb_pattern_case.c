
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Upper and lower case of the characters of the Basic Multilingual Plane, by
 * the tables UnicodeData.txt and SpecialCasing.txt of Unicode 14.0, without
 * the rules for languages and contexts.
 */


#include <ngx_config.h>
#include <ngx_core.h>
#include "ngx_eb_pattern_form.h"


/* each step-th character from first to last moves by delta */

typedef struct {
    uint16_t                  first;
    uint16_t                  last;
    int32_t                   delta;
    uint8_t                   step;
} ngx_eb_pattern_case_t;


/* what one character becomes that becomes several */

typedef struct {
    uint16_t                  code;
    u_char                    text[7];
} ngx_eb_pattern_special_t;


static size_t ngx_eb_pattern_map(const ngx_eb_pattern_case_t *map,
    ngx_uint_t n, uint32_t code, u_char *dst);

static const ngx_eb_pattern_case_t  ngx_eb_pattern_lower[] = {
    { 0x00c0, 0x00d6, 32, 1 }, { 0x00d8, 0x00de, 32, 1 },
    { 0x0100, 0x012e, 1, 2 }, { 0x0132, 0x0136, 1, 2 },
    { 0x0139, 0x0147, 1, 2 }, { 0x014a, 0x0176, 1, 2 },
    { 0x0178, 0x0178, -121, 1 }, { 0x0179, 0x017d, 1, 2 },
    { 0x0181, 0x0181, 210, 1 }, { 0x0182, 0x0184, 1, 2 },
    { 0x0186, 0x0186, 206, 1 }, { 0x0187, 0x0187, 1, 1 },
    { 0x0189, 0x018a, 205, 1 }, { 0x018b, 0x018b, 1, 1 },
    { 0x018e, 0x018e, 79, 1 }, { 0x018f, 0x018f, 202, 1 },
    { 0x0190, 0x0190, 203, 1 }, { 0x0191, 0x0191, 1, 1 },
    { 0x0193, 0x0193, 205, 1 }, { 0x0194, 0x0194, 207, 1 },
    { 0x0196, 0x0196, 211, 1 }, { 0x0197, 0x0197, 209, 1 },
    { 0x0198, 0x0198, 1, 1 }, { 0x019c, 0x019c, 211, 1 },
    { 0x019d, 0x019d, 213, 1 }, { 0x019f, 0x019f, 214, 1 },
    { 0x01a0, 0x01a4, 1, 2 }, { 0x01a6, 0x01a6, 218, 1 },
    { 0x01a7, 0x01a7, 1, 1 }, { 0x01a9, 0x01a9, 218, 1 },
    { 0x01ac, 0x01ac, 1, 1 }, { 0x01ae, 0x01ae, 218, 1 },
    { 0x01af, 0x01af, 1, 1 }, { 0x01b1, 0x01b2, 217, 1 },
    { 0x01b3, 0x01b5, 1, 2 }, { 0x01b7, 0x01b7, 219, 1 },
    { 0x01b8, 0x01b8, 1, 1 }, { 0x01bc, 0x01bc, 1, 1 },
    { 0x01c4, 0x01c4, 2, 1 }, { 0x01c5, 0x01c5, 1, 1 },
    { 0x01c7, 0x01c7, 2, 1 }, { 0x01c8, 0x01c8, 1, 1 },
    { 0x01ca, 0x01ca, 2, 1 }, { 0x01cb, 0x01db, 1, 2 },
    { 0x01de, 0x01ee, 1, 2 }, { 0x01f1, 0x01f1, 2, 1 },
    { 0x01f2, 0x01f4, 1, 2 }, { 0x01f6, 0x01f6, -97, 1 },
    { 0x01f7, 0x01f7, -56, 1 }, { 0x01f8, 0x021e, 1, 2 },
    { 0x0220, 0x0220, -130, 1 }, { 0x0222, 0x0232, 1, 2 },
    { 0x023a, 0x023a, 10795, 1 }, { 0x023b, 0x023b, 1, 1 },
    { 0x023d, 0x023d, -163, 1 }, { 0x023e, 0x023e, 10792, 1 },
    { 0x0241, 0x0241, 1, 1 }, { 0x0243, 0x0243, -195, 1 },
    { 0x0244, 0x0244, 69, 1 }, { 0x0245, 0x0245, 71, 1 },
    { 0x0246, 0x024e, 1, 2 }, { 0x0370, 0x0372, 1, 2 },
    { 0x0376, 0x0376, 1, 1 }, { 0x037f, 0x037f, 116, 1 },
    { 0x0386, 0x0386, 38, 1 }, { 0x0388, 0x038a, 37, 1 },
    { 0x038c, 0x038c, 64, 1 }, { 0x038e, 0x038f, 63, 1 },
    { 0x0391, 0x03a1, 32, 1 }, { 0x03a3, 0x03ab, 32, 1 },
    { 0x03cf, 0x03cf, 8, 1 }, { 0x03d8, 0x03ee, 1, 2 },
    { 0x03f4, 0x03f4, -60, 1 }, { 0x03f7, 0x03f7, 1, 1 },
    { 0x03f9, 0x03f9, -7, 1 }, { 0x03fa, 0x03fa, 1, 1 },
    { 0x03fd, 0x03ff, -130, 1 }, { 0x0400, 0x040f, 80, 1 },
    { 0x0410, 0x042f, 32, 1 }, { 0x0460, 0x0480, 1, 2 },
    { 0x048a, 0x04be, 1, 2 }, { 0x04c0, 0x04c0, 15, 1 },
    { 0x04c1, 0x04cd, 1, 2 }, { 0x04d0, 0x052e, 1, 2 },
    { 0x0531, 0x0556, 48, 1 }, { 0x10a0, 0x10c5, 7264, 1 },
    { 0x10c7, 0x10c7, 7264, 1 }, { 0x10cd, 0x10cd, 7264, 1 },
    { 0x13a0, 0x13ef, 38864, 1 }, { 0x13f0, 0x13f5, 8, 1 },
    { 0x1c90, 0x1cba, -3008, 1 }, { 0x1cbd, 0x1cbf, -3008, 1 },
    { 0x1e00, 0x1e94, 1, 2 }, { 0x1e9e, 0x1e9e, -7615, 1 },
    { 0x1ea0, 0x1efe, 1, 2 }, { 0x1f08, 0x1f0f, -8, 1 },
    { 0x1f18, 0x1f1d, -8, 1 }, { 0x1f28, 0x1f2f, -8, 1 },
    { 0x1f38, 0x1f3f, -8, 1 }, { 0x1f48, 0x1f4d, -8, 1 },
    { 0x1f59, 0x1f5f, -8, 2 }, { 0x1f68, 0x1f6f, -8, 1 },
    { 0x1f88, 0x1f8f, -8, 1 }, { 0x1f98, 0x1f9f, -8, 1 },
    { 0x1fa8, 0x1faf, -8, 1 }, { 0x1fb8, 0x1fb9, -8, 1 },
    { 0x1fba, 0x1fbb, -74, 1 }, { 0x1fbc, 0x1fbc, -9, 1 },
    { 0x1fc8, 0x1fcb, -86, 1 }, { 0x1fcc, 0x1fcc, -9, 1 },
    { 0x1fd8, 0x1fd9, -8, 1 }, { 0x1fda, 0x1fdb, -100, 1 },
    { 0x1fe8, 0x1fe9, -8, 1 }, { 0x1fea, 0x1feb, -112, 1 },
    { 0x1fec, 0x1fec, -7, 1 }, { 0x1ff8, 0x1ff9, -128, 1 },
    { 0x1ffa, 0x1ffb, -126, 1 }, { 0x1ffc, 0x1ffc, -9, 1 },
    { 0x2126, 0x2126, -7517, 1 }, { 0x212a, 0x212a, -8383, 1 },
    { 0x212b, 0x212b, -8262, 1 }, { 0x2132, 0x2132, 28, 1 },
    { 0x2160, 0x216f, 16, 1 }, { 0x2183, 0x2183, 1, 1 },
    { 0x24b6, 0x24cf, 26, 1 }, { 0x2c00, 0x2c2f, 48, 1 },
    { 0x2c60, 0x2c60, 1, 1 }, { 0x2c62, 0x2c62, -10743, 1 },
    { 0x2c63, 0x2c63, -3814, 1 }, { 0x2c64, 0x2c64, -10727, 1 },
    { 0x2c67, 0x2c6b, 1, 2 }, { 0x2c6d, 0x2c6d, -10780, 1 },
    { 0x2c6e, 0x2c6e, -10749, 1 }, { 0x2c6f, 0x2c6f, -10783, 1 },
    { 0x2c70, 0x2c70, -10782, 1 }, { 0x2c72, 0x2c72, 1, 1 },
    { 0x2c75, 0x2c75, 1, 1 }, { 0x2c7e, 0x2c7f, -10815, 1 },
    { 0x2c80, 0x2ce2, 1, 2 }, { 0x2ceb, 0x2ced, 1, 2 },
    { 0x2cf2, 0x2cf2, 1, 1 }, { 0xa640, 0xa66c, 1, 2 },
    { 0xa680, 0xa69a, 1, 2 }, { 0xa722, 0xa72e, 1, 2 },
    { 0xa732, 0xa76e, 1, 2 }, { 0xa779, 0xa77b, 1, 2 },
    { 0xa77d, 0xa77d, -35332, 1 }, { 0xa77e, 0xa786, 1, 2 },
    { 0xa78b, 0xa78b, 1, 1 }, { 0xa78d, 0xa78d, -42280, 1 },
    { 0xa790, 0xa792, 1, 2 }, { 0xa796, 0xa7a8, 1, 2 },
    { 0xa7aa, 0xa7aa, -42308, 1 }, { 0xa7ab, 0xa7ab, -42319, 1 },
    { 0xa7ac, 0xa7ac, -42315, 1 }, { 0xa7ad, 0xa7ad, -42305, 1 },
    { 0xa7ae, 0xa7ae, -42308, 1 }, { 0xa7b0, 0xa7b0, -42258, 1 },
    { 0xa7b1, 0xa7b1, -42282, 1 }, { 0xa7b2, 0xa7b2, -42261, 1 },
    { 0xa7b3, 0xa7b3, 928, 1 }, { 0xa7b4, 0xa7c2, 1, 2 },
    { 0xa7c4, 0xa7c4, -48, 1 }, { 0xa7c5, 0xa7c5, -42307, 1 },
    { 0xa7c6, 0xa7c6, -35384, 1 }, { 0xa7c7, 0xa7c9, 1, 2 },
    { 0xa7d0, 0xa7d0, 1, 1 }, { 0xa7d6, 0xa7d8, 1, 2 },
    { 0xa7f5, 0xa7f5, 1, 1 }, { 0xff21, 0xff3a, 32, 1 }
};


static const ngx_eb_pattern_case_t  ngx_eb_pattern_upper[] = {
    { 0x00b5, 0x00b5, 743, 1 }, { 0x00e0, 0x00f6, -32, 1 },
    { 0x00f8, 0x00fe, -32, 1 }, { 0x00ff, 0x00ff, 121, 1 },
    { 0x0101, 0x012f, -1, 2 }, { 0x0131, 0x0131, -232, 1 },
    { 0x0133, 0x0137, -1, 2 }, { 0x013a, 0x0148, -1, 2 },
    { 0x014b, 0x0177, -1, 2 }, { 0x017a, 0x017e, -1, 2 },
    { 0x017f, 0x017f, -300, 1 }, { 0x0180, 0x0180, 195, 1 },
    { 0x0183, 0x0185, -1, 2 }, { 0x0188, 0x0188, -1, 1 },
    { 0x018c, 0x018c, -1, 1 }, { 0x0192, 0x0192, -1, 1 },
    { 0x0195, 0x0195, 97, 1 }, { 0x0199, 0x0199, -1, 1 },
    { 0x019a, 0x019a, 163, 1 }, { 0x019e, 0x019e, 130, 1 },
    { 0x01a1, 0x01a5, -1, 2 }, { 0x01a8, 0x01a8, -1, 1 },
    { 0x01ad, 0x01ad, -1, 1 }, { 0x01b0, 0x01b0, -1, 1 },
    { 0x01b4, 0x01b6, -1, 2 }, { 0x01b9, 0x01b9, -1, 1 },
    { 0x01bd, 0x01bd, -1, 1 }, { 0x01bf, 0x01bf, 56, 1 },
    { 0x01c5, 0x01c5, -1, 1 }, { 0x01c6, 0x01c6, -2, 1 },
    { 0x01c8, 0x01c8, -1, 1 }, { 0x01c9, 0x01c9, -2, 1 },
    { 0x01cb, 0x01cb, -1, 1 }, { 0x01cc, 0x01cc, -2, 1 },
    { 0x01ce, 0x01dc, -1, 2 }, { 0x01dd, 0x01dd, -79, 1 },
    { 0x01df, 0x01ef, -1, 2 }, { 0x01f2, 0x01f2, -1, 1 },
    { 0x01f3, 0x01f3, -2, 1 }, { 0x01f5, 0x01f5, -1, 1 },
    { 0x01f9, 0x021f, -1, 2 }, { 0x0223, 0x0233, -1, 2 },
    { 0x023c, 0x023c, -1, 1 }, { 0x023f, 0x0240, 10815, 1 },
    { 0x0242, 0x0242, -1, 1 }, { 0x0247, 0x024f, -1, 2 },
    { 0x0250, 0x0250, 10783, 1 }, { 0x0251, 0x0251, 10780, 1 },
    { 0x0252, 0x0252, 10782, 1 }, { 0x0253, 0x0253, -210, 1 },
    { 0x0254, 0x0254, -206, 1 }, { 0x0256, 0x0257, -205, 1 },
    { 0x0259, 0x0259, -202, 1 }, { 0x025b, 0x025b, -203, 1 },
    { 0x025c, 0x025c, 42319, 1 }, { 0x0260, 0x0260, -205, 1 },
    { 0x0261, 0x0261, 42315, 1 }, { 0x0263, 0x0263, -207, 1 },
    { 0x0265, 0x0265, 42280, 1 }, { 0x0266, 0x0266, 42308, 1 },
    { 0x0268, 0x0268, -209, 1 }, { 0x0269, 0x0269, -211, 1 },
    { 0x026a, 0x026a, 42308, 1 }, { 0x026b, 0x026b, 10743, 1 },
    { 0x026c, 0x026c, 42305, 1 }, { 0x026f, 0x026f, -211, 1 },
    { 0x0271, 0x0271, 10749, 1 }, { 0x0272, 0x0272, -213, 1 },
    { 0x0275, 0x0275, -214, 1 }, { 0x027d, 0x027d, 10727, 1 },
    { 0x0280, 0x0280, -218, 1 }, { 0x0282, 0x0282, 42307, 1 },
    { 0x0283, 0x0283, -218, 1 }, { 0x0287, 0x0287, 42282, 1 },
    { 0x0288, 0x0288, -218, 1 }, { 0x0289, 0x0289, -69, 1 },
    { 0x028a, 0x028b, -217, 1 }, { 0x028c, 0x028c, -71, 1 },
    { 0x0292, 0x0292, -219, 1 }, { 0x029d, 0x029d, 42261, 1 },
    { 0x029e, 0x029e, 42258, 1 }, { 0x0345, 0x0345, 84, 1 },
    { 0x0371, 0x0373, -1, 2 }, { 0x0377, 0x0377, -1, 1 },
    { 0x037b, 0x037d, 130, 1 }, { 0x03ac, 0x03ac, -38, 1 },
    { 0x03ad, 0x03af, -37, 1 }, { 0x03b1, 0x03c1, -32, 1 },
    { 0x03c2, 0x03c2, -31, 1 }, { 0x03c3, 0x03cb, -32, 1 },
    { 0x03cc, 0x03cc, -64, 1 }, { 0x03cd, 0x03ce, -63, 1 },
    { 0x03d0, 0x03d0, -62, 1 }, { 0x03d1, 0x03d1, -57, 1 },
    { 0x03d5, 0x03d5, -47, 1 }, { 0x03d6, 0x03d6, -54, 1 },
    { 0x03d7, 0x03d7, -8, 1 }, { 0x03d9, 0x03ef, -1, 2 },
    { 0x03f0, 0x03f0, -86, 1 }, { 0x03f1, 0x03f1, -80, 1 },
    { 0x03f2, 0x03f2, 7, 1 }, { 0x03f3, 0x03f3, -116, 1 },
    { 0x03f5, 0x03f5, -96, 1 }, { 0x03f8, 0x03f8, -1, 1 },
    { 0x03fb, 0x03fb, -1, 1 }, { 0x0430, 0x044f, -32, 1 },
    { 0x0450, 0x045f, -80, 1 }, { 0x0461, 0x0481, -1, 2 },
    { 0x048b, 0x04bf, -1, 2 }, { 0x04c2, 0x04ce, -1, 2 },
    { 0x04cf, 0x04cf, -15, 1 }, { 0x04d1, 0x052f, -1, 2 },
    { 0x0561, 0x0586, -48, 1 }, { 0x10d0, 0x10fa, 3008, 1 },
    { 0x10fd, 0x10ff, 3008, 1 }, { 0x13f8, 0x13fd, -8, 1 },
    { 0x1c80, 0x1c80, -6254, 1 }, { 0x1c81, 0x1c81, -6253, 1 },
    { 0x1c82, 0x1c82, -6244, 1 }, { 0x1c83, 0x1c84, -6242, 1 },
    { 0x1c85, 0x1c85, -6243, 1 }, { 0x1c86, 0x1c86, -6236, 1 },
    { 0x1c87, 0x1c87, -6181, 1 }, { 0x1c88, 0x1c88, 35266, 1 },
    { 0x1d79, 0x1d79, 35332, 1 }, { 0x1d7d, 0x1d7d, 3814, 1 },
    { 0x1d8e, 0x1d8e, 35384, 1 }, { 0x1e01, 0x1e95, -1, 2 },
    { 0x1e9b, 0x1e9b, -59, 1 }, { 0x1ea1, 0x1eff, -1, 2 },
    { 0x1f00, 0x1f07, 8, 1 }, { 0x1f10, 0x1f15, 8, 1 },
    { 0x1f20, 0x1f27, 8, 1 }, { 0x1f30, 0x1f37, 8, 1 },
    { 0x1f40, 0x1f45, 8, 1 }, { 0x1f51, 0x1f57, 8, 2 },
    { 0x1f60, 0x1f67, 8, 1 }, { 0x1f70, 0x1f71, 74, 1 },
    { 0x1f72, 0x1f75, 86, 1 }, { 0x1f76, 0x1f77, 100, 1 },
    { 0x1f78, 0x1f79, 128, 1 }, { 0x1f7a, 0x1f7b, 112, 1 },
    { 0x1f7c, 0x1f7d, 126, 1 }, { 0x1fb0, 0x1fb1, 8, 1 },
    { 0x1fbe, 0x1fbe, -7205, 1 }, { 0x1fd0, 0x1fd1, 8, 1 },
    { 0x1fe0, 0x1fe1, 8, 1 }, { 0x1fe5, 0x1fe5, 7, 1 },
    { 0x214e, 0x214e, -28, 1 }, { 0x2170, 0x217f, -16, 1 },
    { 0x2184, 0x2184, -1, 1 }, { 0x24d0, 0x24e9, -26, 1 },
    { 0x2c30, 0x2c5f, -48, 1 }, { 0x2c61, 0x2c61, -1, 1 },
    { 0x2c65, 0x2c65, -10795, 1 }, { 0x2c66, 0x2c66, -10792, 1 },
    { 0x2c68, 0x2c6c, -1, 2 }, { 0x2c73, 0x2c73, -1, 1 },
    { 0x2c76, 0x2c76, -1, 1 }, { 0x2c81, 0x2ce3, -1, 2 },
    { 0x2cec, 0x2cee, -1, 2 }, { 0x2cf3, 0x2cf3, -1, 1 },
    { 0x2d00, 0x2d25, -7264, 1 }, { 0x2d27, 0x2d27, -7264, 1 },
    { 0x2d2d, 0x2d2d, -7264, 1 }, { 0xa641, 0xa66d, -1, 2 },
    { 0xa681, 0xa69b, -1, 2 }, { 0xa723, 0xa72f, -1, 2 },
    { 0xa733, 0xa76f, -1, 2 }, { 0xa77a, 0xa77c, -1, 2 },
    { 0xa77f, 0xa787, -1, 2 }, { 0xa78c, 0xa78c, -1, 1 },
    { 0xa791, 0xa793, -1, 2 }, { 0xa794, 0xa794, 48, 1 },
    { 0xa797, 0xa7a9, -1, 2 }, { 0xa7b5, 0xa7c3, -1, 2 },
    { 0xa7c8, 0xa7ca, -1, 2 }, { 0xa7d1, 0xa7d1, -1, 1 },
    { 0xa7d7, 0xa7d9, -1, 2 }, { 0xa7f6, 0xa7f6, -1, 1 },
    { 0xab53, 0xab53, -928, 1 }, { 0xab70, 0xabbf, -38864, 1 },
    { 0xff41, 0xff5a, -32, 1 }
};


/* upper case only; of all characters one has such a lower case, U+0130 */

static const ngx_eb_pattern_special_t  ngx_eb_pattern_special[] = {
    { 0x00df, "\x53\x53" }, { 0x0149, "\xca\xbc\x4e" },
    { 0x01f0, "\x4a\xcc\x8c" }, { 0x0390, "\xce\x99\xcc\x88\xcc\x81" },
    { 0x03b0, "\xce\xa5\xcc\x88\xcc\x81" }, { 0x0587, "\xd4\xb5\xd5\x92" },
    { 0x1e96, "\x48\xcc\xb1" }, { 0x1e97, "\x54\xcc\x88" },
    { 0x1e98, "\x57\xcc\x8a" }, { 0x1e99, "\x59\xcc\x8a" },
    { 0x1e9a, "\x41\xca\xbe" }, { 0x1f50, "\xce\xa5\xcc\x93" },
    { 0x1f52, "\xce\xa5\xcc\x93\xcc\x80" },
    { 0x1f54, "\xce\xa5\xcc\x93\xcc\x81" },
    { 0x1f56, "\xce\xa5\xcc\x93\xcd\x82" },
    { 0x1f80, "\xe1\xbc\x88\xce\x99" }, { 0x1f81, "\xe1\xbc\x89\xce\x99" },
    { 0x1f82, "\xe1\xbc\x8a\xce\x99" }, { 0x1f83, "\xe1\xbc\x8b\xce\x99" },
    { 0x1f84, "\xe1\xbc\x8c\xce\x99" }, { 0x1f85, "\xe1\xbc\x8d\xce\x99" },
    { 0x1f86, "\xe1\xbc\x8e\xce\x99" }, { 0x1f87, "\xe1\xbc\x8f\xce\x99" },
    { 0x1f88, "\xe1\xbc\x88\xce\x99" }, { 0x1f89, "\xe1\xbc\x89\xce\x99" },
    { 0x1f8a, "\xe1\xbc\x8a\xce\x99" }, { 0x1f8b, "\xe1\xbc\x8b\xce\x99" },
    { 0x1f8c, "\xe1\xbc\x8c\xce\x99" }, { 0x1f8d, "\xe1\xbc\x8d\xce\x99" },
    { 0x1f8e, "\xe1\xbc\x8e\xce\x99" }, { 0x1f8f, "\xe1\xbc\x8f\xce\x99" },
    { 0x1f90, "\xe1\xbc\xa8\xce\x99" }, { 0x1f91, "\xe1\xbc\xa9\xce\x99" },
    { 0x1f92, "\xe1\xbc\xaa\xce\x99" }, { 0x1f93, "\xe1\xbc\xab\xce\x99" },
    { 0x1f94, "\xe1\xbc\xac\xce\x99" }, { 0x1f95, "\xe1\xbc\xad\xce\x99" },
    { 0x1f96, "\xe1\xbc\xae\xce\x99" }, { 0x1f97, "\xe1\xbc\xaf\xce\x99" },
    { 0x1f98, "\xe1\xbc\xa8\xce\x99" }, { 0x1f99, "\xe1\xbc\xa9\xce\x99" },
    { 0x1f9a, "\xe1\xbc\xaa\xce\x99" }, { 0x1f9b, "\xe1\xbc\xab\xce\x99" },
    { 0x1f9c, "\xe1\xbc\xac\xce\x99" }, { 0x1f9d, "\xe1\xbc\xad\xce\x99" },
    { 0x1f9e, "\xe1\xbc\xae\xce\x99" }, { 0x1f9f, "\xe1\xbc\xaf\xce\x99" },
    { 0x1fa0, "\xe1\xbd\xa8\xce\x99" }, { 0x1fa1, "\xe1\xbd\xa9\xce\x99" },
    { 0x1fa2, "\xe1\xbd\xaa\xce\x99" }, { 0x1fa3, "\xe1\xbd\xab\xce\x99" },
    { 0x1fa4, "\xe1\xbd\xac\xce\x99" }, { 0x1fa5, "\xe1\xbd\xad\xce\x99" },
    { 0x1fa6, "\xe1\xbd\xae\xce\x99" }, { 0x1fa7, "\xe1\xbd\xaf\xce\x99" },
    { 0x1fa8, "\xe1\xbd\xa8\xce\x99" }, { 0x1fa9, "\xe1\xbd\xa9\xce\x99" },
    { 0x1faa, "\xe1\xbd\xaa\xce\x99" }, { 0x1fab, "\xe1\xbd\xab\xce\x99" },
    { 0x1fac, "\xe1\xbd\xac\xce\x99" }, { 0x1fad, "\xe1\xbd\xad\xce\x99" },
    { 0x1fae, "\xe1\xbd\xae\xce\x99" }, { 0x1faf, "\xe1\xbd\xaf\xce\x99" },
    { 0x1fb2, "\xe1\xbe\xba\xce\x99" }, { 0x1fb3, "\xce\x91\xce\x99" },
    { 0x1fb4, "\xce\x86\xce\x99" }, { 0x1fb6, "\xce\x91\xcd\x82" },
    { 0x1fb7, "\xce\x91\xcd\x82\xce\x99" }, { 0x1fbc, "\xce\x91\xce\x99" },
    { 0x1fc2, "\xe1\xbf\x8a\xce\x99" }, { 0x1fc3, "\xce\x97\xce\x99" },
    { 0x1fc4, "\xce\x89\xce\x99" }, { 0x1fc6, "\xce\x97\xcd\x82" },
    { 0x1fc7, "\xce\x97\xcd\x82\xce\x99" }, { 0x1fcc, "\xce\x97\xce\x99" },
    { 0x1fd2, "\xce\x99\xcc\x88\xcc\x80" },
    { 0x1fd3, "\xce\x99\xcc\x88\xcc\x81" }, { 0x1fd6, "\xce\x99\xcd\x82" },
    { 0x1fd7, "\xce\x99\xcc\x88\xcd\x82" },
    { 0x1fe2, "\xce\xa5\xcc\x88\xcc\x80" },
    { 0x1fe3, "\xce\xa5\xcc\x88\xcc\x81" }, { 0x1fe4, "\xce\xa1\xcc\x93" },
    { 0x1fe6, "\xce\xa5\xcd\x82" }, { 0x1fe7, "\xce\xa5\xcc\x88\xcd\x82" },
    { 0x1ff2, "\xe1\xbf\xba\xce\x99" }, { 0x1ff3, "\xce\xa9\xce\x99" },
    { 0x1ff4, "\xce\x8f\xce\x99" }, { 0x1ff6, "\xce\xa9\xcd\x82" },
    { 0x1ff7, "\xce\xa9\xcd\x82\xce\x99" }, { 0x1ffc, "\xce\xa9\xce\x99" },
    { 0xfb00, "\x46\x46" }, { 0xfb01, "\x46\x49" }, { 0xfb02, "\x46\x4c" },
    { 0xfb03, "\x46\x46\x49" }, { 0xfb04, "\x46\x46\x4c" },
    { 0xfb05, "\x53\x54" }, { 0xfb06, "\x53\x54" },
    { 0xfb13, "\xd5\x84\xd5\x86" }, { 0xfb14, "\xd5\x84\xd4\xb5" },
    { 0xfb15, "\xd5\x84\xd4\xbb" }, { 0xfb16, "\xd5\x8e\xd5\x86" },
    { 0xfb17, "\xd5\x84\xd4\xbd" }
};


size_t
ngx_eb_pattern_lower_case(uint32_t code, u_char *dst)
{
    if (code == 0x130) {
        return ngx_cpymem(dst, "i\xcc\x87", 3) - dst;
    }

    return ngx_eb_pattern_map(ngx_eb_pattern_lower,
                              sizeof(ngx_eb_pattern_lower)
                              / sizeof(ngx_eb_pattern_lower[0]),
                              code, dst);
}


size_t
ngx_eb_pattern_upper_case(uint32_t code, u_char *dst)
{
    size_t      len;
    ngx_uint_t  i, n;

    n = sizeof(ngx_eb_pattern_special) / sizeof(ngx_eb_pattern_special[0]);

    for (i = 0; i < n; i++) {
        if (ngx_eb_pattern_special[i].code == code) {
            len = ngx_strlen(ngx_eb_pattern_special[i].text);
            ngx_memcpy(dst, ngx_eb_pattern_special[i].text, len);
            return len;
        }
    }

    return ngx_eb_pattern_map(ngx_eb_pattern_upper,
                              sizeof(ngx_eb_pattern_upper)
                              / sizeof(ngx_eb_pattern_upper[0]),
                              code, dst);
}


static size_t
ngx_eb_pattern_map(const ngx_eb_pattern_case_t *map, ngx_uint_t n,
    uint32_t code, u_char *dst)
{
    ngx_uint_t  i;

    if (code < 0x80) {

        /* the tables begin where ASCII ends */

        if (map == ngx_eb_pattern_lower) {
            *dst = ngx_tolower(code);

        } else {
            *dst = ngx_toupper(code);
        }

        return 1;
    }

    for (i = 0; i < n && map[i].first <= code; i++) {

        if (code <= map[i].last && (code - map[i].first) % map[i].step == 0) {
            code += map[i].delta;
            break;
        }
    }

    return ngx_eb_json_utf8(code, dst);
}

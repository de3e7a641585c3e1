
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * Files of secrets.
 */


#include "ngx_eb_secrets.h"
#include "ngx_eb_webhook.h"
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>


/* SHA-256 */
#define NGX_EB_SECRETS_DIGEST  32

/* of a single one */
#define NGX_EB_SECRETS_MAX_VALUE  4096


typedef struct {
    ngx_str_t                 name;
    ngx_str_t                 secret;       /* of what is kept itself */
    u_char                    digest[NGX_EB_SECRETS_DIGEST];
    ngx_uint_t                pk;           /* secret is a public key */
} ngx_eb_secret_t;


/* one block: the secrets and, behind them, their texts */

typedef struct {
    size_t                    size;
    ngx_uint_t                n;
    ngx_eb_secret_t           secrets[1];
} ngx_eb_secrets_set_t;


/* what tells one state of a file from another */

typedef struct {
    dev_t                     device;
    ino_t                     inode;
    off_t                     size;
    mode_t                    mode;
    struct timespec           modified;
    struct timespec           changed;
} ngx_eb_secrets_state_t;


typedef struct {
    const char               *text;
    ngx_uint_t                line;         /* of the file, or 0 */
    ngx_err_t                 err;
} ngx_eb_secrets_error_t;


struct ngx_eb_secrets_s {
    ngx_str_t                 path;
    ngx_eb_secrets_form_e     form;
    EVP_MD_CTX               *digest;
    u_char                    salt[NGX_EB_SECRETS_DIGEST];
    ngx_eb_secrets_set_t     *set;
    ngx_eb_secrets_state_t    state;        /* when it was read last */
    time_t                    checked;
    unsigned                  again:1;      /* may be changing still */
    unsigned                  failed:1;
    unsigned                  missing:1;
};


static ngx_int_t ngx_eb_secrets_read(ngx_eb_secrets_t *s, ngx_log_t *log,
    ngx_eb_secrets_error_t *error);
static ngx_int_t ngx_eb_secrets_read_file(ngx_eb_secrets_t *s, ngx_fd_t fd,
    size_t size, ngx_log_t *log, ngx_eb_secrets_error_t *error);
static ngx_eb_secrets_set_t *ngx_eb_secrets_parse(ngx_eb_secrets_t *s,
    ngx_str_t *text, ngx_log_t *log, ngx_eb_secrets_error_t *error);
static ngx_eb_secrets_set_t *ngx_eb_secrets_single(ngx_str_t *text,
    ngx_log_t *log, ngx_eb_secrets_error_t *error);
static ngx_int_t ngx_eb_secrets_entry(ngx_eb_secrets_t *s,
    ngx_eb_secret_t *entry, ngx_str_t *secret,
    ngx_eb_secrets_error_t *error);
static ngx_int_t ngx_eb_secrets_webhook(ngx_eb_secret_t *entry,
    ngx_str_t *secret, ngx_eb_secrets_error_t *error);
static ngx_int_t ngx_eb_secrets_line(u_char **pos, u_char *last,
    ngx_str_t *name, ngx_str_t *secret, ngx_eb_secrets_error_t *error);
static ngx_int_t ngx_eb_secrets_digest(ngx_eb_secrets_t *s, ngx_str_t *name,
    ngx_str_t *secret, u_char *digest);
static ngx_str_t *ngx_eb_secrets_found(ngx_eb_secrets_t *s, ngx_uint_t found);
static u_char *ngx_eb_secrets_error_text(ngx_eb_secrets_t *s,
    ngx_eb_secrets_error_t *error, u_char *buf, size_t len);
static void ngx_eb_secrets_state(ngx_eb_secrets_state_t *state,
    struct stat *st);
static ngx_uint_t ngx_eb_secrets_same(ngx_eb_secrets_state_t *a,
    ngx_eb_secrets_state_t *b);
static ngx_uint_t ngx_eb_secrets_mode(struct stat *st, uid_t user,
    gid_t *groups, ngx_uint_t ngroups, mode_t bit);
static void ngx_eb_secrets_free(ngx_eb_secrets_set_t *set);
static void ngx_eb_secrets_cleanup(void *data);


ngx_eb_secrets_t *
ngx_eb_secrets_open(ngx_pool_t *pool, ngx_str_t *path,
    ngx_eb_secrets_form_e form, ngx_log_t *log, u_char *errstr,
    size_t errlen, ngx_err_t *err)
{
    u_char                  *p;
    ngx_eb_secrets_t        *s;
    ngx_pool_cleanup_t      *cln;
    ngx_eb_secrets_error_t   error;

    *err = 0;

    s = ngx_pcalloc(pool, sizeof(ngx_eb_secrets_t));
    cln = ngx_pool_cleanup_add(pool, 0);

    if (s == NULL || cln == NULL) {
        ngx_snprintf(errstr, errlen, "no memory%Z");
        return NULL;
    }

    s->path = *path;
    s->form = form;

    cln->handler = ngx_eb_secrets_cleanup;
    cln->data = s;

    s->digest = EVP_MD_CTX_new();

    if (s->digest == NULL
        || EVP_DigestInit_ex(s->digest, EVP_sha256(), NULL) != 1
        || RAND_bytes(s->salt, sizeof(s->salt)) != 1)
    {
        ngx_snprintf(errstr, errlen, "the crypto library failed%Z");
        return NULL;
    }

    if (ngx_eb_secrets_read(s, log, &error) != NGX_OK) {
        p = ngx_eb_secrets_error_text(s, &error, errstr, errlen - 1);
        *p = '\0';
        *err = error.err;

        return NULL;
    }

    return s;
}


void
ngx_eb_secrets_refresh(ngx_eb_secrets_t *s, ngx_log_t *log)
{
    u_char                   text[NGX_MAX_CONF_ERRSTR], *p;
    ngx_int_t                rc;
    ngx_uint_t               same;
    struct stat              st;
    ngx_eb_secrets_state_t   state;
    ngx_eb_secrets_error_t   error;

    if (s->checked == ngx_time()) {
        return;
    }

    s->checked = ngx_time();

    if (stat((char *) s->path.data, &st) == -1) {

        if (!s->missing) {
            s->missing = 1;
            s->failed = 1;
            s->again = 1;
            ngx_log_error(NGX_LOG_ERR, log, ngx_errno,
                          "eventbridge: secrets file \"%V\" cannot be used, "
                          "the secrets that were read before stay valid",
                          &s->path);
        }

        return;
    }

    s->missing = 0;

    ngx_eb_secrets_state(&state, &st);
    same = ngx_eb_secrets_same(&state, &s->state);

    if (same && !s->again) {
        return;
    }

    rc = ngx_eb_secrets_read(s, log, &error);

    if (rc == NGX_OK) {

        if (!same || s->failed) {
            ngx_log_error(NGX_LOG_NOTICE, log, 0,
                          "eventbridge: secrets file \"%V\" was read again, "
                          "%ui secrets", &s->path, s->set->n);
        }

        s->failed = 0;
        return;
    }

    /* once for each state that the file is found in */

    if (!s->failed || !same) {
        p = ngx_eb_secrets_error_text(s, &error, text, sizeof(text));

        ngx_log_error(NGX_LOG_ERR, log, error.err,
                      "eventbridge: secrets file \"%V\" cannot be used, the "
                      "secrets that were read before stay valid: %*s",
                      &s->path, (size_t) (p - text), text);
    }

    s->failed = 1;
}


static ngx_int_t
ngx_eb_secrets_read(ngx_eb_secrets_t *s, ngx_log_t *log,
    ngx_eb_secrets_error_t *error)
{
    ngx_fd_t     fd;
    ngx_int_t    rc;
    struct stat  st;

    ngx_memzero(error, sizeof(ngx_eb_secrets_error_t));

    s->again = 0;

    /* non-blocking: it may be a pipe */

    fd = open((char *) s->path.data, O_RDONLY|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1) {
        error->err = ngx_errno;
        error->text = "it cannot be opened";

        /* the state is as it is: a change of it is worth another try */

        if (stat((char *) s->path.data, &st) == 0) {
            ngx_eb_secrets_state(&s->state, &st);
        }

        return NGX_ERROR;
    }

    rc = NGX_ERROR;

    if (fstat(fd, &st) == -1) {
        error->err = ngx_errno;
        error->text = "fstat() failed";
        goto done;
    }

    ngx_eb_secrets_state(&s->state, &st);

    /*
     * Time stamps are coarse: what was written in this very moment may be
     * written once more without another stamp.
     */

    s->again = (st.st_mtime >= ngx_time() - 1
                && st.st_mtime <= ngx_time() + 1);

    if (!S_ISREG(st.st_mode)) {
        error->text = "it is not a regular file";
        goto done;
    }

    if (st.st_mode & S_IROTH) {
        error->text = "it is readable by everybody, chmod o-r";
        goto done;
    }

    if (st.st_size > NGX_EB_SECRETS_MAX_SIZE) {
        error->text = "it is larger than 1 MB";
        goto done;
    }

    rc = ngx_eb_secrets_read_file(s, fd, (size_t) st.st_size, log, error);

done:

    (void) close(fd);

    return rc;
}


static ngx_int_t
ngx_eb_secrets_read_file(ngx_eb_secrets_t *s, ngx_fd_t fd, size_t size,
    ngx_log_t *log, ngx_eb_secrets_error_t *error)
{
    u_char                *buf;
    ssize_t                n;
    ngx_str_t              text;
    ngx_eb_secrets_set_t  *set;

    /* one more byte than there should be: it may grow */

    buf = ngx_alloc(size + 1, log);
    if (buf == NULL) {
        error->text = "no memory";
        return NGX_ERROR;
    }

    text.data = buf;
    text.len = 0;

    do {
        n = read(fd, buf + text.len, size + 1 - text.len);

        if (n > 0) {
            text.len += n;
        }

    } while ((n > 0 && text.len <= size) || (n == -1 && ngx_errno == EINTR));

    set = NULL;

    if (n == -1) {
        error->err = ngx_errno;
        error->text = "read() failed";

    } else if (text.len != size) {
        s->again = 1;
        error->text = "it changes while it is read";

    } else {
        set = ngx_eb_secrets_parse(s, &text, log, error);
    }

    OPENSSL_cleanse(buf, size + 1);
    ngx_free(buf);

    if (set == NULL) {
        return NGX_ERROR;
    }

    ngx_eb_secrets_free(s->set);
    s->set = set;

    return NGX_OK;
}


static ngx_eb_secrets_set_t *
ngx_eb_secrets_parse(ngx_eb_secrets_t *s, ngx_str_t *text, ngx_log_t *log,
    ngx_eb_secrets_error_t *error)
{
    u_char                *pos, *last, *p;
    size_t                 size;
    ngx_int_t              rc;
    ngx_str_t              name, secret;
    ngx_uint_t             n;
    ngx_eb_secret_t       *entry;
    ngx_eb_secrets_set_t  *set;

    if (s->form == NGX_EB_SECRETS_VALUE) {
        return ngx_eb_secrets_single(text, log, error);
    }

    last = text->data + text->len;
    size = 0;
    n = 0;

    for (pos = text->data;
         (rc = ngx_eb_secrets_line(&pos, last, &name, &secret, error))
             == NGX_OK;
         n++)
    {
        size += name.len;
        size += (s->form >= NGX_EB_SECRETS_KEY) ? secret.len : 0;
    }

    if (rc == NGX_ERROR) {
        return NULL;
    }

    error->line = 0;

    if (n == 0) {
        error->text = "it has no line NAME:SECRET";
        return NULL;
    }

    size += offsetof(ngx_eb_secrets_set_t, secrets)
            + n * sizeof(ngx_eb_secret_t);

    set = ngx_calloc(size, log);
    if (set == NULL) {
        error->text = "no memory";
        return NULL;
    }

    set->size = size;
    set->n = n;

    entry = set->secrets;
    p = (u_char *) (entry + n);

    pos = text->data;

    while (ngx_eb_secrets_line(&pos, last, &name, &secret, error) == NGX_OK) {

        entry->name.data = p;
        entry->name.len = name.len;
        p = ngx_cpymem(p, name.data, name.len);

        entry->secret.data = p;

        if (ngx_eb_secrets_entry(s, entry, &secret, error) != NGX_OK) {
            ngx_eb_secrets_free(set);
            return NULL;
        }

        p += entry->secret.len;
        entry++;
    }

    return set;
}


/* what is kept itself goes to where entry->secret begins */

static ngx_int_t
ngx_eb_secrets_entry(ngx_eb_secrets_t *s, ngx_eb_secret_t *entry,
    ngx_str_t *secret, ngx_eb_secrets_error_t *error)
{
    ngx_str_t  *name;

    if (s->form == NGX_EB_SECRETS_KEY) {
        entry->secret.len = secret->len;
        ngx_memcpy(entry->secret.data, secret->data, secret->len);

        return NGX_OK;
    }

    if (s->form == NGX_EB_SECRETS_WEBHOOK) {
        return ngx_eb_secrets_webhook(entry, secret, error);
    }

    name = (s->form == NGX_EB_SECRETS_PAIR) ? &entry->name : NULL;

    if (ngx_eb_secrets_digest(s, name, secret, entry->digest) != NGX_OK) {
        error->line = 0;
        error->text = "the crypto library failed";

        return NGX_ERROR;
    }

    return NGX_OK;
}


static ngx_int_t
ngx_eb_secrets_webhook(ngx_eb_secret_t *entry, ngx_str_t *secret,
    ngx_eb_secrets_error_t *error)
{
    u_char     *buf;
    ngx_int_t   rc;

    buf = entry->secret.data;

    rc = ngx_eb_webhook_key(secret, NGX_EB_WEBHOOK_SECRET, buf, secret->len,
                            &entry->secret);

    if (rc == NGX_OK) {
        return NGX_OK;
    }

    if (rc == NGX_DECLINED) {
        rc = ngx_eb_webhook_key(secret, NGX_EB_WEBHOOK_PUBLIC, buf,
                                secret->len, &entry->secret);
        entry->pk = 1;

        if (rc == NGX_DECLINED) {
            error->text = "a key begins with neither \"whsec_\" nor "
                          "\"whpk_\"";
            return NGX_ERROR;
        }

        if (rc == NGX_OK && entry->secret.len == NGX_EB_WEBHOOK_KEY) {
            return NGX_OK;
        }

        error->text = "what is behind \"whpk_\" is no base64 of 32 bytes";

        return NGX_ERROR;
    }

    error->text = "what is behind \"whsec_\" is no base64";

    return NGX_ERROR;
}


/* editors end a file with a newline: white space around it is not its part */

static ngx_eb_secrets_set_t *
ngx_eb_secrets_single(ngx_str_t *text, ngx_log_t *log,
    ngx_eb_secrets_error_t *error)
{
    u_char                *p, *last;
    size_t                 size;
    ngx_eb_secrets_set_t  *set;

    p = text->data;
    last = p + text->len;

    while (p < last && (*p == ' ' || (*p >= '\t' && *p <= '\r'))) {
        p++;
    }

    while (p < last && (last[-1] == ' '
                        || (last[-1] >= '\t' && last[-1] <= '\r')))
    {
        last--;
    }

    text->data = p;
    text->len = last - p;

    if (text->len == 0) {
        error->text = "it is empty";
        return NULL;
    }

    if (text->len > NGX_EB_SECRETS_MAX_VALUE) {
        error->text = "the secret is longer than 4096 bytes";
        return NULL;
    }

    for ( /* void */ ; p < last; p++) {
        if (*p < 0x20 || *p == 0x7f) {
            error->text = "the secret has a control character";
            return NULL;
        }
    }

    size = sizeof(ngx_eb_secrets_set_t) + text->len;

    set = ngx_calloc(size, log);
    if (set == NULL) {
        error->text = "no memory";
        return NULL;
    }

    set->size = size;
    set->n = 1;
    set->secrets[0].secret.data = (u_char *) (set + 1);
    set->secrets[0].secret.len = text->len;
    ngx_memcpy(set + 1, text->data, text->len);

    return set;
}


/*
 * The next NAME:SECRET from *pos on.  NGX_OK; NGX_DONE: there is none;
 * NGX_ERROR: *error says why and where.
 */

static ngx_int_t
ngx_eb_secrets_line(u_char **pos, u_char *last, ngx_str_t *name,
    ngx_str_t *secret, ngx_eb_secrets_error_t *error)
{
    u_char  *p, *start, *end, *colon;

    for (p = *pos; p < last; p = *pos) {

        error->line++;
        start = p;
        colon = NULL;

        while (p < last && *p != LF) {
            if (*p == ':' && colon == NULL) {
                colon = p;
            }

            p++;
        }

        end = p;
        *pos = (p < last) ? p + 1 : last;

        if (end > start && end[-1] == CR) {
            end--;
        }

        for (p = start; p < end && (*p == ' ' || *p == '\t'); p++) {
            /* void */
        }

        if (p == end || *p == '#') {
            continue;
        }

        if (colon == NULL) {
            error->text = "a line has no colon";
            return NGX_ERROR;
        }

        name->data = start;
        name->len = colon - start;
        secret->data = colon + 1;
        secret->len = end - secret->data;

        if (name->len == 0) {
            error->text = "a name is empty";
            return NGX_ERROR;
        }

        if (name->len > NGX_EB_SECRETS_MAX_NAME) {
            error->text = "a name is longer than 128 bytes";
            return NGX_ERROR;
        }

        if (secret->len == 0) {
            error->text = "a secret is empty";
            return NGX_ERROR;
        }

        for (p = start; p < colon; p++) {
            if (*p < 0x20 || *p == 0x7f) {
                error->text = "a name has control characters";
                return NGX_ERROR;
            }
        }

        return NGX_OK;
    }

    return NGX_DONE;
}


/* salted, so that the digest means nothing outside of this process */

static ngx_int_t
ngx_eb_secrets_digest(ngx_eb_secrets_t *s, ngx_str_t *name,
    ngx_str_t *secret, u_char *digest)
{
    /* without a type the context goes on with its own, and looks up nothing */

    if (EVP_DigestInit_ex(s->digest, NULL, NULL) != 1
        || EVP_DigestUpdate(s->digest, s->salt, sizeof(s->salt)) != 1
        || (name
            && (EVP_DigestUpdate(s->digest, name->data, name->len) != 1
                || EVP_DigestUpdate(s->digest, ":", 1) != 1))
        || EVP_DigestUpdate(s->digest, secret->data, secret->len) != 1
        || EVP_DigestFinal_ex(s->digest, digest, NULL) != 1)
    {
        return NGX_ERROR;
    }

    return NGX_OK;
}


ngx_str_t *
ngx_eb_secrets_match(ngx_eb_secrets_t *s, ngx_str_t *text)
{
    u_char            digest[NGX_EB_SECRETS_DIGEST];
    ngx_uint_t        i, found, mask;
    ngx_eb_secret_t  *entry;

    if (s->form >= NGX_EB_SECRETS_KEY
        || ngx_eb_secrets_digest(s, NULL, text, digest) != NGX_OK)
    {
        return NULL;
    }

    /* to the end, without a branch; of equal secrets the first one counts */

    found = 0;

    for (i = s->set->n; i > 0; i--) {
        entry = &s->set->secrets[i - 1];

        mask = 0 - (ngx_uint_t) (CRYPTO_memcmp(entry->digest, digest,
                                               NGX_EB_SECRETS_DIGEST)
                                 == 0);
        found = (found & ~mask) | (i & mask);
    }

    OPENSSL_cleanse(digest, sizeof(digest));

    return ngx_eb_secrets_found(s, found);
}


ngx_str_t *
ngx_eb_secrets_verify(ngx_eb_secrets_t *s, const EVP_MD *md,
    ngx_str_t *data, u_char *signatures, ngx_uint_t n)
{
    u_char            mac[EVP_MAX_MD_SIZE], *body;
    size_t            size;
    ngx_uint_t        i, j, found, mask;
    unsigned int      len;
    ngx_eb_secret_t  *entry;

    if (s->form != NGX_EB_SECRETS_KEY && s->form != NGX_EB_SECRETS_WEBHOOK) {
        return NULL;
    }

    size = EVP_MD_size(md);
    body = data->len ? data->data : (u_char *) "";
    found = 0;

    for (i = s->set->n; i > 0; i--) {
        entry = &s->set->secrets[i - 1];

        /* what is public would be a secret that everybody knows */

        if (entry->pk) {
            continue;
        }

        if (HMAC(md, entry->secret.data, (int) entry->secret.len, body,
                 data->len, mac, &len)
            == NULL
            || len != size)
        {
            found = 0;
            break;
        }

        for (j = 0; j < n; j++) {
            mask = 0 - (ngx_uint_t) (CRYPTO_memcmp(mac, signatures + j * size,
                                                   size)
                                     == 0);
            found = (found & ~mask) | (i & mask);
        }
    }

    OPENSSL_cleanse(mac, sizeof(mac));

    return ngx_eb_secrets_found(s, found);
}


ngx_str_t *
ngx_eb_secrets_verify_public(ngx_eb_secrets_t *s, ngx_str_t *data,
    u_char *signatures, ngx_uint_t n)
{
    ngx_uint_t        i, j;
    ngx_eb_secret_t  *entry;

    for (i = 0; i < s->set->n; i++) {
        entry = &s->set->secrets[i];

        for (j = 0; entry->pk && j < n; j++) {
            if (ngx_eb_webhook_verify(entry->secret.data, data,
                                      signatures
                                      + j * NGX_EB_WEBHOOK_SIGNATURE))
            {
                return &entry->name;
            }
        }
    }

    return NULL;
}


/* found: from 1 on, 0 is nothing */

static ngx_str_t *
ngx_eb_secrets_found(ngx_eb_secrets_t *s, ngx_uint_t found)
{
    return found ? &s->set->secrets[found - 1].name : NULL;
}


ngx_str_t *
ngx_eb_secrets_value(ngx_eb_secrets_t *s)
{
    return &s->set->secrets[0].secret;
}


ngx_str_t *
ngx_eb_secrets_key(ngx_eb_secrets_t *s, ngx_uint_t i)
{
    return (i < s->set->n) ? &s->set->secrets[i].secret : NULL;
}


ngx_str_t *
ngx_eb_secrets_name(ngx_eb_secrets_t *s, ngx_uint_t i)
{
    return (i < s->set->n) ? &s->set->secrets[i].name : NULL;
}


ngx_err_t
ngx_eb_secrets_access(ngx_eb_secrets_t *s)
{
    ngx_fd_t  fd;

    fd = open((char *) s->path.data, O_RDONLY|O_NONBLOCK|O_CLOEXEC);

    if (fd == -1) {
        return ngx_errno;
    }

    (void) close(fd);

    return 0;
}


ngx_uint_t
ngx_eb_secrets_permitted(ngx_eb_secrets_t *s, uid_t user, gid_t *groups,
    ngx_uint_t ngroups)
{
    char         path[NGX_MAX_PATH];
    size_t       i;
    struct stat  st;

    if (user == 0) {
        return 1;
    }

    if (s->path.len >= sizeof(path)) {
        return 0;
    }

    ngx_memcpy(path, s->path.data, s->path.len);
    path[s->path.len] = '\0';

    if (stat(path, &st) == -1
        || !ngx_eb_secrets_mode(&st, user, groups, ngroups, S_IROTH))
    {
        return 0;
    }

    /* every directory on the way has to be searchable */

    for (i = s->path.len; i-- > 0; /* void */ ) {

        if (path[i] != '/') {
            continue;
        }

        path[i ? i : 1] = '\0';

        if (stat(path, &st) == -1
            || !ngx_eb_secrets_mode(&st, user, groups, ngroups, S_IXOTH))
        {
            return 0;
        }
    }

    return 1;
}


/* the class of bits that counts for user, as the kernel chooses it */

static ngx_uint_t
ngx_eb_secrets_mode(struct stat *st, uid_t user, gid_t *groups,
    ngx_uint_t ngroups, mode_t bit)
{
    ngx_uint_t  i;

    if (st->st_uid == user) {
        return (st->st_mode & (bit << 6)) != 0;
    }

    for (i = 0; i < ngroups; i++) {
        if (st->st_gid == groups[i]) {
            return (st->st_mode & (bit << 3)) != 0;
        }
    }

    return (st->st_mode & bit) != 0;
}


ngx_str_t *
ngx_eb_secrets_path(ngx_eb_secrets_t *s)
{
    return &s->path;
}


static u_char *
ngx_eb_secrets_error_text(ngx_eb_secrets_t *s, ngx_eb_secrets_error_t *error,
    u_char *buf, size_t len)
{
    if (error->line) {
        return ngx_snprintf(buf, len, "%s in %V:%ui", error->text, &s->path,
                            error->line);
    }

    return ngx_snprintf(buf, len, "%s", error->text);
}


static void
ngx_eb_secrets_state(ngx_eb_secrets_state_t *state, struct stat *st)
{
    ngx_memzero(state, sizeof(ngx_eb_secrets_state_t));

    state->device = st->st_dev;
    state->inode = st->st_ino;
    state->size = st->st_size;
    state->mode = st->st_mode;
    state->modified = st->st_mtim;
    state->changed = st->st_ctim;
}


static ngx_uint_t
ngx_eb_secrets_same(ngx_eb_secrets_state_t *a, ngx_eb_secrets_state_t *b)
{
    return a->device == b->device
           && a->inode == b->inode
           && a->size == b->size
           && a->mode == b->mode
           && a->modified.tv_sec == b->modified.tv_sec
           && a->modified.tv_nsec == b->modified.tv_nsec
           && a->changed.tv_sec == b->changed.tv_sec
           && a->changed.tv_nsec == b->changed.tv_nsec;
}


static void
ngx_eb_secrets_free(ngx_eb_secrets_set_t *set)
{
    if (set) {
        OPENSSL_cleanse(set, set->size);
        ngx_free(set);
    }
}


static void
ngx_eb_secrets_cleanup(void *data)
{
    ngx_eb_secrets_t *s = data;

    ngx_eb_secrets_free(s->set);
    s->set = NULL;

    EVP_MD_CTX_free(s->digest);
    OPENSSL_cleanse(s->salt, sizeof(s->salt));
}

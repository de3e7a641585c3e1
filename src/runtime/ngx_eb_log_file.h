
/*
 * Copyright (C) the ngx_http_eventbridge_module authors
 *
 * The file of an append log, for threads and start-up: all of it blocks, and
 * none of it knows of the event loop.
 *
 * The file holds JSON lines.  A record is a JSON object that the caller gives
 * without its closing brace; the log adds
 *
 *     ,"check":"<16 hex digits>"}<newline>
 *
 * with the XXH3_64 of the bytes before.  Any number of processes may append.
 * They exclude one another by flock(), so that each of them has a descriptor
 * of its own: one that is inherited would share its lock as well.  The file
 * may be renamed or replaced at any time: who holds the lock makes sure that
 * the path still leads to what is locked, and opens it anew otherwise.  It is
 * never a symbolic link.
 */


#ifndef _NGX_EB_LOG_FILE_H_INCLUDED_
#define _NGX_EB_LOG_FILE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>


/* what is added to a payload */
#define NGX_EB_LOG_TAIL       (sizeof(",\"check\":\"0123456789abcdef\"}\n") - 1)

/* a line with its newline; longer ones are neither written nor read */
#define NGX_EB_LOG_MAX_LINE   (64 * 1024 * 1024)

/* bytes of the oldest record that the figures show */
#define NGX_EB_LOG_FIRST      256


typedef struct ngx_eb_log_record_s  ngx_eb_log_record_t;

typedef void (*ngx_eb_log_handler_pt)(ngx_eb_log_record_t *record);


/*
 * The record and its payload belong to the caller; both stay as they are from
 * ngx_eb_log_append() until the handler is called, which may free them.
 */

struct ngx_eb_log_record_s {
    ngx_str_t                 payload;      /* {"v":1,...  no raw newline */
    ngx_eb_log_handler_pt     handler;
    void                     *data;
    ngx_err_t                 err;          /* 0: it is on the disk */

    /* of the log */
    ngx_eb_log_record_t      *next;
    u_char                    tail[NGX_EB_LOG_TAIL];
};


typedef enum {
    NGX_EB_LOG_VALID = 0,       /* the check is right */
    NGX_EB_LOG_WRONG,           /* there is one, and it is wrong */
    NGX_EB_LOG_BARE,            /* there is none: not a line of ours */
    NGX_EB_LOG_LONG             /* over the limit: start is NULL */
} ngx_eb_log_state_e;


typedef struct {
    u_char                   *start;
    size_t                    len;          /* without the newline */
    size_t                    payload;      /* the same without what the log
                                               added, if valid, or len */
    off_t                     offset;       /* of the line in the file */
    off_t                     next;         /* of the line after it */
    ngx_eb_log_state_e        state;
} ngx_eb_log_line_t;


/*
 * Functions that return ngx_err_t say 0 or the errno of the call that "failed"
 * names; nothing is logged but a failed allocation.  One object is used by one
 * thread at a time, and two objects of the same file exclude one another.
 */

typedef struct {
    u_char                   *path;         /* with NUL at the end */
    uid_t                     user;         /* who owns a file that root */
    gid_t                     group;        /*   creates; -1: root */
    ngx_msec_t                wait;         /* for the lock; 0: for ever */

    ngx_fd_t                  fd;           /* or NGX_INVALID_FILE */
    dev_t                     dev;
    ino_t                     ino;
    ngx_uint_t                synced;       /* its name is on the disk */
    ngx_uint_t                opens;        /* how often it was opened */
    ngx_log_t                *log;          /* for failing allocations */

    const char               *failed;       /* of the last error */

    /* of the last append, recovery or compaction */
    off_t                     before;       /* size when it began */
    off_t                     after;
    off_t                     cut;          /* bytes of a torn tail */
} ngx_eb_log_file_t;


typedef struct {
    ngx_fd_t                  fd;
    u_char                   *buf;
    size_t                    size;
    size_t                    max_line;
    u_char                   *pos;          /* what is read, but not given */
    u_char                   *last;
    off_t                     offset;       /* of the next line */
    off_t                     at;           /* of last */
    off_t                     end;          /* reads nothing beyond */
    dev_t                     dev;
    ino_t                     ino;
    ngx_err_t                 err;
    ngx_log_t                *log;
} ngx_eb_log_reader_t;


/* zero at first; later calls go on where the last one ended */

typedef struct {
    dev_t                     dev;
    ino_t                     ino;
    off_t                     size;         /* of the file */
    off_t                     scanned;      /* whole lines up to here */
    uint64_t                  records;      /* valid ones */
    uint64_t                  invalid;      /* all other lines */
    u_char                    first[NGX_EB_LOG_FIRST];  /* of the oldest one */
    size_t                    first_len;
} ngx_eb_log_figures_t;


typedef struct {
    uint64_t                  kept;
    uint64_t                  dropped;
    uint64_t                  invalid;      /* of both, what is not valid */
    off_t                     before;
    off_t                     after;
} ngx_eb_log_compacted_t;


/* true: the line stays; called for each line in order, once */
typedef ngx_uint_t (*ngx_eb_log_keep_pt)(ngx_eb_log_line_t *line, void *data);


/* path and owner: borrowed; nothing is opened yet */
void ngx_eb_log_file_init(ngx_eb_log_file_t *file, u_char *path, uid_t user,
    gid_t group, ngx_log_t *log);

/* creates it (mode 0640) when it is not there */
ngx_err_t ngx_eb_log_file_open(ngx_eb_log_file_t *file);
void ngx_eb_log_file_close(ngx_eb_log_file_t *file);

/* could it be opened?  Neither creates nor changes anything. */
ngx_err_t ngx_eb_log_file_test(ngx_eb_log_file_t *file);

/*
 * Cuts what a killed writer or a power cut left at the end: bytes after the
 * last newline, and lines before that which are damaged (a wrong check, a NUL,
 * no JSON object).  It stops at the first line that is valid, or that is an
 * object without a check, as somebody may have added by hand.  A file that
 * would be emptied, and never began as a log does, is refused with EINVAL.
 */
ngx_err_t ngx_eb_log_file_recover(ngx_eb_log_file_t *file);

/*
 * All records of the list: on the disk, or none of them (as far as the file
 * can be cut back).  The members err are left alone.
 */
ngx_err_t ngx_eb_log_file_append(ngx_eb_log_file_t *file,
    ngx_eb_log_record_t *records);

/*
 * Writes the lines that are to be kept to PATH.tmp and renames that.  Others
 * go on appending meanwhile; they wait only while what they appended is copied
 * too.  EBUSY: another compaction is running; EAGAIN: the file was replaced.
 */
ngx_err_t ngx_eb_log_file_compact(ngx_eb_log_file_t *file,
    ngx_eb_log_keep_pt keep, void *data, ngx_eb_log_compacted_t *result);

/* counts on from the last time, or anew when the file is another one */
ngx_err_t ngx_eb_log_file_scan(u_char *path, ngx_eb_log_figures_t *figures,
    ngx_log_t *log);


/*
 * Reads whole lines from offset, which is 0 or the "next" of a line, to what
 * is the end of the file at this moment; max_line: 0 is NGX_EB_LOG_MAX_LINE.
 * ngx_eb_log_reader_next() says NGX_OK, NGX_ERROR with err, or NGX_DONE at the
 * end; after ngx_eb_log_reader_more() it goes on with what was appended since.
 * A line is there until the next call.  The reader holds the file that it
 * opened, dev and ino, also when that is replaced meanwhile.
 */
ngx_int_t ngx_eb_log_reader_open(ngx_eb_log_reader_t *reader, u_char *path,
    off_t offset, size_t max_line, ngx_log_t *log);
ngx_int_t ngx_eb_log_reader_more(ngx_eb_log_reader_t *reader);
ngx_int_t ngx_eb_log_reader_next(ngx_eb_log_reader_t *reader,
    ngx_eb_log_line_t *line);
void ngx_eb_log_reader_close(ngx_eb_log_reader_t *reader);

/* of a line without its newline; VALID, WRONG or BARE */
ngx_eb_log_state_e ngx_eb_log_check(u_char *line, size_t len);


/*
 * For the files of this component only.  The lock is of the file that the path
 * leads to; "whole" cuts a part of a line at its end, and is called under the
 * lock, as is what follows it.
 */

#define NGX_EB_LOG_MODE       0640
#define NGX_EB_LOG_READ       65536     /* bytes of a buffer, at first */
#define NGX_EB_LOG_SUFFIX     (NGX_EB_LOG_TAIL - 1)     /* no newline */
#define NGX_EB_LOG_MEMBER     ",\"check\":\""
#define NGX_EB_LOG_LEAD       (sizeof(NGX_EB_LOG_MEMBER) - 1)

struct iovec;

ngx_err_t ngx_eb_log_fail(ngx_eb_log_file_t *file, const char *what,
    ngx_err_t err);
ngx_err_t ngx_eb_log_lock(ngx_eb_log_file_t *file);
void ngx_eb_log_unlock(ngx_eb_log_file_t *file);
ngx_err_t ngx_eb_log_whole(ngx_eb_log_file_t *file);
ngx_err_t ngx_eb_log_sync_name(ngx_eb_log_file_t *file);
ngx_int_t ngx_eb_log_flock(ngx_fd_t fd, int operation);
ngx_err_t ngx_eb_log_writev(ngx_fd_t fd, struct iovec *iov, int n);
ngx_int_t ngx_eb_log_pread(ngx_fd_t fd, u_char *buf, size_t size,
    off_t offset);
u_char *ngx_eb_log_suffix(u_char *p, uint64_t hash);


#endif /* _NGX_EB_LOG_FILE_H_INCLUDED_ */

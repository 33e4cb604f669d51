/* The parts of the log; private to log*.c. */
#ifndef PYRUN_LOG_H
#define PYRUN_LOG_H

#include "monitor.h"

#define LOG_PART_BYTES 16384 /* docker cuts longer lines: moby daemon/logger/copier */
#define LOG_FRAME_BYTES 20480 /* what stands around the text; engine/log_options.py refuses longer attributes */
#define LOG_BUFFER_BYTES 131072 /* six for each byte of a part, \u00XX, and a frame: that fits */

/* log_format.c: how one record is written. */
int log_format_open(const struct job *job);
/* From here on records are of this moment. */
void log_format_now(void);
/* How long a record of so much text may become. */
size_t log_format_most(size_t length);
/* Write a record of `length` > 0 bytes, the last of which is a line feed unless it is a part of a longer line, to `to`,
 * which has room for it; returns its end. */
char *log_format_record(char *to, int stream, const char *text, size_t length);

/* log_file.c: where records go. */
int log_file_open(const struct job *job, int directory_fd);
/* Room for a record of at most so many bytes in the buffer; what was there before may be written out for it, and the file
 * rotated. */
char *log_file_room(size_t length);
void log_file_add(const char *end);
void log_file_flush(void);
void log_file_close(void);
/* Records that did not get there, for who reads the log.  is_file: the file has not taken them; else the ring. */
void log_count_lost(int is_file, const char *records, size_t length, int error);

/* log_ring.c: mode=non-blocking. */
int log_ring_start(const struct job *job);
int log_ring_is_open(void);
/* Put whole records into the ring; returns how many bytes it took, which end a record. */
size_t log_ring_put(const char *records, size_t length);
void log_ring_finish(void);

#endif

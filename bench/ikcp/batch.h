/* Datagrams by the batch: one system call takes in or sends out up to BATCH of them. No GSO, no GRO. */
#ifndef BATCH_H
#define BATCH_H

#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>

#include "ikcp.h"

enum { BATCH = 64, DATAGRAM = 1500, INTERVAL = 10, CHUNK = 64 << 10 };

struct batch {
    int count;
    struct mmsghdr heads[BATCH];
    struct iovec pieces[BATCH];
    struct sockaddr_in names[BATCH];
    char bytes[BATCH][DATAGRAM];
};

/* Prints why and ends the program. */
void fail(const char *what);

/* The monotonic clock, in nanoseconds. */
int64_t nanoseconds(void);

/* A socket on 127.0.0.1 with 8 MiB of buffer each way, where the kernel lets it; never blocking. */
int udp_socket(void);

/* Takes in what waits, at most BATCH datagrams, and returns how many. */
int batch_receive(struct batch *batch, int udp);

/* Adds a datagram, to `to` or where the socket is connected; a full batch is sent. */
void batch_add(struct batch *batch, int udp, const struct sockaddr_in *to, const char *bytes, int length);

/* Sends what was added. What the kernel has no room for is lost, as datagrams are. */
void batch_send(struct batch *batch, int udp);

/* A session of stream mode with 1,10,2,1, the fastest preset of all implementations. */
ikcpcb *session(IUINT32 conv, int window, int mtu, void *user);

/* Has the session send now what it may: with flushes on its ticks alone a window would last for INTERVAL. */
void flush(ikcpcb *kcp);

#endif

#define _GNU_SOURCE
#include "batch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void fail(const char *what)
{
    perror(what);
    exit(1);
}

int64_t nanoseconds(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000000) + time.tv_nsec;
}

int udp_socket(void)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int size = 8 << 20, udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (udp < 0 || bind(udp, (struct sockaddr *)&at, sizeof at) < 0)
        fail("udp socket");
    /* Without CAP_NET_ADMIN there is as much as net.core.rmem_max allows. */
    if (setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0)
        setsockopt(udp, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (setsockopt(udp, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0)
        setsockopt(udp, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
    return udp;
}

int batch_receive(struct batch *batch, int udp)
{
    for (int i = 0; i < BATCH; i++) {
        batch->pieces[i] = (struct iovec){ batch->bytes[i], DATAGRAM };
        batch->heads[i].msg_hdr = (struct msghdr){ .msg_iov = &batch->pieces[i], .msg_iovlen = 1,
                                                   .msg_name = &batch->names[i],
                                                   .msg_namelen = sizeof batch->names[i] };
    }
    int count = recvmmsg(udp, batch->heads, BATCH, MSG_DONTWAIT, NULL);
    if (count < 0 && errno != EAGAIN && errno != ECONNREFUSED && errno != EINTR)
        fail("recvmmsg");
    return count < 0 ? 0 : count;
}

void batch_add(struct batch *batch, int udp, const struct sockaddr_in *to, const char *bytes, int length)
{
    int i = batch->count++;
    memcpy(batch->bytes[i], bytes, (size_t)length);
    batch->pieces[i] = (struct iovec){ batch->bytes[i], (size_t)length };
    batch->heads[i].msg_hdr = (struct msghdr){ .msg_iov = &batch->pieces[i], .msg_iovlen = 1 };
    if (to) {
        batch->names[i] = *to;
        batch->heads[i].msg_hdr.msg_name = &batch->names[i];
        batch->heads[i].msg_hdr.msg_namelen = sizeof *to;
    }
    if (batch->count == BATCH)
        batch_send(batch, udp);
}

void batch_send(struct batch *batch, int udp)
{
    int sent = 0;
    while (sent < batch->count) {
        int more = sendmmsg(udp, batch->heads + sent, (unsigned)(batch->count - sent), MSG_DONTWAIT);
        if (more < 0 && errno != EINTR)
            break;
        sent += more < 0 ? 0 : more;
    }
    batch->count = 0;
}

ikcpcb *session(IUINT32 conv, int window, int mtu, void *user)
{
    ikcpcb *kcp = ikcp_create(conv, user);
    if (!kcp || ikcp_setmtu(kcp, mtu) < 0)
        fail("session");
    ikcp_nodelay(kcp, 1, INTERVAL, 2, 1);
    ikcp_wndsize(kcp, window, window);
    kcp->stream = 1;
    ikcp_update(kcp, (IUINT32)(nanoseconds() / 1000000));
    return kcp;
}

void flush(ikcpcb *kcp)
{
    kcp->current = (IUINT32)(nanoseconds() / 1000000);
    ikcp_flush(kcp);
}

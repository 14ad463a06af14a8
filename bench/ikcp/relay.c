/*
 * The least gateway on the original C core, to measure against: KCP in, TCP out, one thread, no hello.
 *
 *   relay TARGET-PORT WINDOW MTU
 *
 * Both sides are on 127.0.0.1, so a port stands for a client. Prints its UDP port, and ends with its standard
 * input. A session ends with its endpoint; nothing tells its client, and nothing else ends it.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "batch.h"

enum { EVENTS = 256, LISTENER = -1, INPUT = -2, PORTS = 1 << 16, TURN = 16 };

struct client {
    ikcpcb *kcp;
    struct sockaddr_in from;
    /* Edge-triggered: true until the kernel says that there is no more. */
    int readable, writable, dirty;
    int tcp;
    /* What the endpoint had no room for. */
    char *spill;
    int spilled;
};

static struct client *clients[PORTS];
static int ports[PORTS], count;
static struct client *dirty[PORTS];
static int dirties;
static struct batch in, out;
static char chunk[CHUNK];
static int udp, poller, target, window, mtu;

static int output(const char *bytes, int length, ikcpcb *kcp, void *user)
{
    (void)kcp;
    batch_add(&out, udp, &((struct client *)user)->from, bytes, length);
    return 0;
}

static void mark(struct client *client)
{
    if (!client->dirty)
        dirty[dirties++] = client;
    client->dirty = 1;
}

static struct client *open_client(const struct sockaddr_in *from, IUINT32 conv)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                              .sin_port = htons((unsigned short)target) };
    struct client *client = calloc(1, sizeof *client);
    int port = ntohs(from->sin_port), one = 1, tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (!client || tcp < 0 || connect(tcp, (struct sockaddr *)&to, sizeof to) < 0)
        fail("connect");
    setsockopt(tcp, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    *client = (struct client){ .from = *from, .readable = 1, .writable = 1, .tcp = tcp };
    client->kcp = session(conv, window, mtu, client);
    client->kcp->output = output;
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.u64 = (unsigned)port };
    if (epoll_ctl(poller, EPOLL_CTL_ADD, tcp, &event) < 0)
        fail("epoll_ctl");
    clients[port] = client;
    ports[count++] = port;
    return client;
}

/* A write or a read that took nothing: is there nothing to take, or is the endpoint gone? */
static int over(ssize_t moved)
{
    return moved == 0 || (moved < 0 && errno != EAGAIN);
}

/* From the session to its endpoint. */
static int up(struct client *client)
{
    while (client->writable) {
        int length = client->spilled, more;
        memcpy(chunk, client->spill, (size_t)length);
        while (length + DATAGRAM <= CHUNK && (more = ikcp_recv(client->kcp, chunk + length, DATAGRAM)) >= 0)
            length += more;
        if (length == 0)
            return 1;
        ssize_t wrote = send(client->tcp, chunk, (size_t)length, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (wrote <= 0 && over(wrote))
            return 0;
        int taken = wrote < 0 ? 0 : (int)wrote;
        client->spilled = length - taken;
        client->writable = client->spilled == 0;
        free(client->spill);
        client->spill = NULL;
        if (client->spilled > 0) {
            if (!(client->spill = malloc((size_t)client->spilled)))
                fail("malloc");
            memcpy(client->spill, chunk + taken, (size_t)client->spilled);
        }
    }
    return 1;
}

/* From the endpoint to the session, which never holds more than two windows. */
static int down(struct client *client)
{
    while (client->readable && ikcp_waitsnd(client->kcp) < 2 * window) {
        ssize_t length = recv(client->tcp, chunk, CHUNK, MSG_DONTWAIT);
        if (length <= 0) {
            client->readable = 0;
            return !over(length);
        }
        if (ikcp_send(client->kcp, chunk, (int)length) < 0)
            fail("ikcp_send");
    }
    return 1;
}

static void settle(void)
{
    for (int i = 0; i < dirties; i++) {
        struct client *client = dirty[i];
        client->dirty = 0;
        if (client->tcp >= 0 && !(up(client) && down(client))) {
            close(client->tcp);
            client->tcp = -1;
            client->readable = client->writable = 0;
        }
        flush(client->kcp);
    }
    dirties = 0;
    batch_send(&out, udp);
}

/* Takes datagrams in; sessions answer after each batch. */
static void take(void)
{
    for (int turn = 0; turn < TURN; turn++) {
        int taken = batch_receive(&in, udp);
        for (int i = 0; i < taken; i++) {
            int length = (int)in.heads[i].msg_len;
            struct client *client = clients[ntohs(in.names[i].sin_port)];
            if (!client && length >= 24)
                client = open_client(&in.names[i], ikcp_getconv(in.bytes[i]));
            if (client && ikcp_input(client->kcp, in.bytes[i], length) == 0)
                mark(client);
        }
        settle();
        if (taken < BATCH)
            return;
    }
}

static void tick(IUINT32 now)
{
    for (int i = 0; i < count; i++)
        ikcp_update(clients[ports[i]]->kcp, now);
    batch_send(&out, udp);
}

static void add(int fd, int64_t token)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = (uint64_t)token };
    if (epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event) < 0)
        fail("epoll_ctl");
}

int main(int words, char **word)
{
    if (words != 4) {
        fprintf(stderr, "relay TARGET-PORT WINDOW MTU\n");
        return 64;
    }
    target = atoi(word[1]), window = atoi(word[2]), mtu = atoi(word[3]);
    struct sockaddr_in at;
    socklen_t size = sizeof at;
    udp = udp_socket();
    poller = epoll_create1(EPOLL_CLOEXEC);
    add(udp, LISTENER);
    add(STDIN_FILENO, INPUT);
    getsockname(udp, (struct sockaddr *)&at, &size);
    printf("%d\n", ntohs(at.sin_port));
    fflush(stdout);
    for (int64_t next = 0;;) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(poller, events, EVENTS, count ? INTERVAL : -1);
        if (ready < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < ready; i++) {
            int64_t token = (int64_t)events[i].data.u64;
            if (token == INPUT)
                return 0;
            if (token == LISTENER) {
                take();
                continue;
            }
            struct client *client = clients[token];
            client->readable |= (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0;
            client->writable |= (events[i].events & EPOLLOUT) != 0;
            mark(client);
        }
        settle();
        int64_t now = nanoseconds() / 1000000;
        if (now >= next) {
            tick((IUINT32)now);
            next = now + INTERVAL;
        }
    }
}

/*
 * The clients of every KCP row, the same for every server: on the original C core, one thread.
 *
 *   load up|down|echo|idle PORT SESSIONS LOSS SEED WARM-UP MEASURE
 *
 * PORT is on 127.0.0.1, LOSS is in per cent and falls on both directions here, by the seed, so that it costs no
 * server anything; times are in milliseconds. `up` sends as fast as is taken and `down` takes as fast as is
 * sent; `echo` says RATE messages a second in each session, spread evenly, and `idle` says one at the start.
 *
 * Prints `open` when every session has been answered and the warm-up is over, then, at the end, one line of
 * JSON: bytes or messages, seconds, the round trip's percentiles in microseconds, and how busy this thread was.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>

#include "batch.h"

enum { EVENTS = 256, WINDOW = 1024, MTU = 1350, MESSAGE = 64, RATE = 20, OPEN_WITHIN = 10000, SAMPLES = 1 << 22 };
enum { MILLISECOND = 1000000 };

struct client {
    ikcpcb *kcp;
    int udp, answered;
    /* A message of which not all has come. */
    char part[MESSAGE];
    int parts;
};

static struct client *clients;
static struct batch in, out;
static char chunk[CHUNK];
static int up, down, echo, poller, count, loss, opened, answered, samples;
static uint64_t dice[2], units, sent;
static uint32_t micros[SAMPLES];
static int64_t began;

/* Does the next datagram of that direction get lost? */
static int lost(int direction)
{
    uint64_t *x = &dice[direction];
    *x ^= *x << 13, *x ^= *x >> 7, *x ^= *x << 17;
    return (int)(*x % 100) < loss;
}

static int output(const char *bytes, int length, ikcpcb *kcp, void *user)
{
    (void)kcp;
    if (!lost(0))
        batch_add(&out, ((struct client *)user)->udp, NULL, bytes, length);
    return 0;
}

static void push(struct client *client)
{
    flush(client->kcp);
    batch_send(&out, client->udp);
}

/* A message is when it was sent, and zeros. */
static void say(struct client *client)
{
    char message[MESSAGE] = { 0 };
    int64_t now = nanoseconds();
    memcpy(message, &now, sizeof now);
    ikcp_send(client->kcp, message, down ? 1 : MESSAGE);
    push(client);
}

static void open_client(int i, int port)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                              .sin_port = htons((unsigned short)port) };
    struct client *client = &clients[i];
    client->udp = udp_socket();
    client->kcp = session((IUINT32)i + 1, WINDOW, MTU, client);
    client->kcp->output = output;
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = (unsigned)i };
    if (connect(client->udp, (struct sockaddr *)&to, sizeof to) < 0 ||
        epoll_ctl(poller, EPOLL_CTL_ADD, client->udp, &event) < 0)
        fail("connect");
    if (!up)
        say(client);
}

/* A whole message has come back. */
static void hear(struct client *client)
{
    int64_t then;
    memcpy(&then, client->part, sizeof then);
    client->parts = 0;
    units++;
    if (samples < SAMPLES)
        micros[samples++] = (uint32_t)((nanoseconds() - then) / 1000);
}

static void take_messages(struct client *client, const char *bytes, int length)
{
    while (length > 0) {
        int piece = MESSAGE - client->parts < length ? MESSAGE - client->parts : length;
        memcpy(client->part + client->parts, bytes, (size_t)piece);
        client->parts += piece, bytes += piece, length -= piece;
        if (client->parts == MESSAGE)
            hear(client);
    }
}

static void fill(struct client *client)
{
    while (ikcp_waitsnd(client->kcp) < 2 * WINDOW) {
        if (ikcp_send(client->kcp, chunk, CHUNK) < 0)
            fail("ikcp_send");
        sent += CHUNK;
    }
}

/* One batch in, and the answers to it out. */
static void turn(struct client *client)
{
    int taken = batch_receive(&in, client->udp), length;
    for (int i = 0; i < taken; i++)
        if (!lost(1))
            ikcp_input(client->kcp, in.bytes[i], (long)in.heads[i].msg_len);
    if (taken > 0 && (up ? client->kcp->snd_una > 0 : ikcp_peeksize(client->kcp) > 0)) {
        answered += !client->answered;
        client->answered = 1;
    }
    static char segment[DATAGRAM];
    while ((length = ikcp_recv(client->kcp, segment, DATAGRAM)) >= 0) {
        if (down)
            units += (uint64_t)length;
        else
            take_messages(client, segment, length);
    }
    if (up)
        fill(client);
    push(client);
}

/* What the clock asks for: messages in their turn, and each session's own timers once per INTERVAL. */
static void tick(int port, int64_t now)
{
    static int64_t updated, said;
    int64_t due = (now - began) / MILLISECOND * count / INTERVAL;
    /* Sessions come up at 4,000 a second, so that none is lost to a full queue. */
    for (int i = 0; i < 4 && opened < count; i++)
        open_client(opened++, port);
    if (due - updated > count)
        updated = due - count;
    for (; updated < due; updated++) {
        struct client *client = &clients[updated % count];
        if (!client->kcp)
            continue;
        if (up)
            fill(client);
        ikcp_update(client->kcp, (IUINT32)(now / MILLISECOND));
        batch_send(&out, client->udp);
    }
    due = (now - began) * RATE / 1000 * count / MILLISECOND;
    if (!echo || answered < count)
        said = due;
    for (; said < due; said++)
        say(&clients[said % count]);
}

/* Runs until `until`, or until every session has been answered. */
static int run(int port, int64_t until, int opening)
{
    static int64_t next;
    while (!(opening && answered == count)) {
        int64_t now = nanoseconds();
        if (now >= until)
            return !opening;
        if (now >= next) {
            tick(port, now);
            next = now + MILLISECOND;
        }
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(poller, events, EVENTS, 1);
        if (ready < 0 && errno != EINTR)
            fail("epoll_wait");
        for (int i = 0; i < ready; i++)
            turn(&clients[events[i].data.u64]);
    }
    return 1;
}

static int by_size(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static double busy(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* What `up` has had acknowledged: everything but what waits, in segments that are all full. */
static uint64_t acknowledged(void)
{
    uint64_t left = (uint64_t)ikcp_waitsnd(clients[0].kcp) * clients[0].kcp->mss;
    return sent > left ? sent - left : 0;
}

int main(int words, char **word)
{
    if (words != 8) {
        fprintf(stderr, "load up|down|echo|idle PORT SESSIONS LOSS SEED WARM-UP MEASURE\n");
        return 64;
    }
    up = !strcmp(word[1], "up"), down = !strcmp(word[1], "down"), echo = !strcmp(word[1], "echo");
    int port = atoi(word[2]);
    count = atoi(word[3]), loss = atoi(word[4]);
    dice[0] = strtoull(word[5], NULL, 10) * 2 + 1, dice[1] = dice[0] ^ UINT64_C(0x9e3779b97f4a7c15);
    int64_t warm_up = atoll(word[6]) * MILLISECOND, measure = atoll(word[7]) * MILLISECOND;
    clients = calloc((size_t)count, sizeof *clients);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (!clients || poller < 0)
        fail("start");
    began = nanoseconds();
    if (!run(port, began + (int64_t)OPEN_WITHIN * MILLISECOND, 1)) {
        fprintf(stderr, "%d of %d sessions were answered within %d ms\n", answered, count, OPEN_WITHIN);
        return 1;
    }
    run(port, nanoseconds() + warm_up, 0);
    printf("open\n");
    fflush(stdout);
    units = up ? acknowledged() : 0, samples = 0;
    uint64_t before = up ? units : 0;
    int64_t start = nanoseconds();
    double cpu = busy();
    run(port, start + measure, 0);
    double seconds = (double)(nanoseconds() - start) / 1e9;
    units = up ? acknowledged() : units;
    cpu = (busy() - cpu) / seconds;
    qsort(micros, (size_t)samples, sizeof *micros, by_size);
    uint32_t p50 = samples ? micros[samples / 2] : 0, p99 = samples ? micros[(int64_t)samples * 99 / 100] : 0;
    printf("{\"units\":%llu,\"seconds\":%.6f,\"p50_us\":%u,\"p99_us\":%u,\"busy\":%.3f}\n",
           (unsigned long long)(units - before), seconds, p50, p99, cpu);
    return 0;
}

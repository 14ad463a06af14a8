/*
 * A foreign KCP peer on the original C core: standard input goes out, what comes in goes to standard output.
 *
 *   ikcp HOST PORT CONV message|stream WINDOW MTU
 *
 * In message mode each read of standard input, up to 8 KiB, is one message, so most have several fragments.
 * Ends when standard input has ended and everything is acknowledged, or after a minute, so that a test that
 * waits in vain fails.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ikcp.h"

enum { MESSAGE = 8 << 10, DATAGRAM = 2048, FRAGMENTS = 256, SECONDS = 60 };

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static IUINT32 now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (IUINT32)(time.tv_sec * 1000 + time.tv_nsec / 1000000);
}

static int output(const char *bytes, int length, ikcpcb *kcp, void *user)
{
    /* A datagram that does not go out is a lost one. */
    (void)kcp;
    return (int)send(*(int *)user, bytes, (size_t)length, 0);
}

static int dial(const char *host, const char *port)
{
    struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port)) };
    int size = 4 << 20, udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (udp < 0 || inet_pton(AF_INET, host, &to.sin_addr) != 1)
        fail(host);
    setsockopt(udp, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (connect(udp, (struct sockaddr *)&to, sizeof to) < 0)
        fail("connect");
    return udp;
}

/* Everything that waits on the socket goes into the core, everything the core has whole goes out. */
static void take(ikcpcb *kcp, int udp)
{
    static char datagram[DATAGRAM], message[FRAGMENTS * DATAGRAM];
    ssize_t length;
    while ((length = recv(udp, datagram, sizeof datagram, 0)) >= 0)
        ikcp_input(kcp, datagram, (long)length);
    if (errno != EAGAIN && errno != ECONNREFUSED)
        fail("recv");
    while ((length = ikcp_recv(kcp, message, sizeof message)) >= 0)
        for (ssize_t done = 0, wrote; done < length; done += wrote)
            if ((wrote = write(STDOUT_FILENO, message + done, (size_t)(length - done))) < 0)
                fail("stdout");
}

/* Returns 0 at the end of standard input. */
static int give(ikcpcb *kcp)
{
    static char message[MESSAGE];
    ssize_t length = read(STDIN_FILENO, message, sizeof message);
    if (length < 0)
        fail("stdin");
    if (length > 0 && ikcp_send(kcp, message, (int)length) < 0)
        fail("ikcp_send");
    return length > 0;
}

int main(int count, char **words)
{
    if (count != 7) {
        fprintf(stderr, "ikcp HOST PORT CONV message|stream WINDOW MTU\n");
        return 64;
    }
    alarm(SECONDS);
    int udp = dial(words[1], words[2]), window = atoi(words[5]), open = 1;
    ikcpcb *kcp = ikcp_create((IUINT32)strtoul(words[3], NULL, 10), &udp);
    kcp->output = output;
    kcp->stream = strcmp(words[4], "stream") == 0;
    ikcp_nodelay(kcp, 1, 20, 2, 1);
    ikcp_wndsize(kcp, window, window);
    if (ikcp_setmtu(kcp, atoi(words[6])) < 0)
        fail("mtu");
    while (open || ikcp_waitsnd(kcp) > 0) {
        IUINT32 time = now();
        ikcp_update(kcp, time);
        struct pollfd files[2] = { { .fd = udp, .events = POLLIN }, { .fd = -1, .events = POLLIN } };
        if (open && ikcp_waitsnd(kcp) < 2 * window)
            files[1].fd = STDIN_FILENO;
        if (poll(files, 2, (int)(ikcp_check(kcp, time) - time)) < 0)
            fail("poll");
        if (files[0].revents)
            take(kcp, udp);
        if (files[1].revents)
            open = give(kcp);
    }
    ikcp_flush(kcp);
    return 0;
}

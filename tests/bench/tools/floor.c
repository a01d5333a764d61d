/* What the system calls of a relay cost by themselves: the least that a proxy of this make can come to on this machine.

   floor PORT ORIGIN WORKERS pooled|paired

   pooled: HTTP/1 with kept connections to the origin, a request a recv, its answer's length by Content-Length alone.
   paired: a connection to the origin for each of a client's, bytes both ways.
   Clients of a pool come with their first bytes, and are registered when there is to be waited. Both recv once and send
   once for what there is, in one epoll loop a thread, with nothing in between: no parsing that
   deserves the name, no limits, no errors told, no logs. Not a proxy. It ends the process at what it does not expect. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 512, ROOM = 64 << 10, MOST_KEPT = 4096 };

struct side {
    int fd;
    int of_origin;
    int watched;
    int last;  /* a client: it ends with the answer */
    long left; /* of an answer, where it is pooled */
    struct side *other;
};

static int port, origin, pooled;

static void must(int good, const char *what)
{
    if (!good) {
        perror(what);
        exit(1);
    }
}

static struct sockaddr_in local(int number)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(number), .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    return a;
}

static void watch(int epoll, struct side *s)
{
    struct epoll_event e = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = s };
    must(epoll_ctl(epoll, EPOLL_CTL_ADD, s->fd, &e) == 0, "epoll_ctl");
    s->watched = 1;
}

static struct side *new_side(int fd, int of_origin)
{
    struct side *s = calloc(1, sizeof *s);
    must(s != NULL, "memory");
    s->fd = fd;
    s->of_origin = of_origin;
    return s;
}

static struct side *to_origin(int epoll)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    must(fd >= 0, "socket");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct sockaddr_in a = local(origin);
    must(connect(fd, (struct sockaddr *)&a, sizeof a) == 0, "connect");
    struct side *s = new_side(fd, 1);
    watch(epoll, s);
    return s;
}

static void send_all(int fd, const char *p, long n)
{
    while (n > 0) {
        long sent = send(fd, p, n, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN)
            continue; /* the clients of the bench read at once */
        if (sent < 0)
            return; /* it is gone: its end is told by epoll */
        p += sent;
        n -= sent;
    }
}

static long length(const char *head, long n)
{
    const char *end = memmem(head, n, "\r\n\r\n", 4), *at = memmem(head, n, "Content-Length: ", 16);
    must(end != NULL && at != NULL, "an answer without a length");
    return end + 4 - head + atol(at + 16);
}

/* One thread's. */
struct loop {
    int epoll;
    char *room;
    struct side *kept[MOST_KEPT];
    int keeps;
    /* Freed after the turn: an event of the same turn may be theirs. */
    struct side *over[4 * EVENTS];
    int ends;
};

static void end(struct loop *l, struct side *s)
{
    if (s == NULL || s->fd < 0)
        return;
    for (int k = 0; k < l->keeps; k++)
        if (l->kept[k] == s)
            l->kept[k] = l->kept[--l->keeps];
    close(s->fd);
    s->fd = -1;
    l->over[l->ends++] = s;
}

/* Bytes of a client's request, or of an answer. */
static void pass(struct loop *l, struct side *s, long got)
{
    if (pooled && !s->of_origin) {
        char *close_it = memmem(l->room, got, "Connection: close", 17);
        if (close_it != NULL)
            *close_it = 'X', s->last = 1; /* of this connection, and not of the origin's */
        s->other = l->keeps > 0 ? l->kept[--l->keeps] : to_origin(l->epoll);
        s->other->other = s;
    }
    if (s->other == NULL)
        return;
    send_all(s->other->fd, l->room, got);
    if (pooled && s->of_origin) {
        s->left = (s->left > 0 ? s->left : length(l->room, got)) - got;
        if (s->left == 0) {
            struct side *client = s->other;
            client->other = s->other = NULL;
            if (l->keeps < MOST_KEPT)
                l->kept[l->keeps++] = s;
            if (client->last)
                end(l, client);
        }
    }
}

static void hear(struct loop *l, struct side *s, int ends)
{
    long got;
    do {
        got = recv(s->fd, l->room, ROOM, MSG_DONTWAIT);
        if (got > 0)
            pass(l, s, got);
    } while (got > 0 && s->fd >= 0 && (got == ROOM || ends));
    if (got == 0 || (got < 0 && errno != EAGAIN)) {
        end(l, s->other);
        end(l, s);
    } else if (s->fd >= 0 && !s->watched && !s->last) {
        watch(l->epoll, s);
    }
}

static void *work(void *unused)
{
    (void)unused;
    int on = 1, listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listener, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (pooled)
        setsockopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, &on, sizeof on);
    struct sockaddr_in a = local(port);
    must(bind(listener, (struct sockaddr *)&a, sizeof a) == 0, "bind");
    must(listen(listener, 4096) == 0, "listen");
    struct loop *l = calloc(1, sizeof *l);
    must(l != NULL && (l->room = malloc(ROOM)) != NULL, "memory");
    l->epoll = epoll_create1(0);
    struct epoll_event all[EVENTS], e = { .events = EPOLLIN, .data.ptr = NULL };
    must(epoll_ctl(l->epoll, EPOLL_CTL_ADD, listener, &e) == 0, "epoll_ctl");
    for (;;) {
        int n = epoll_wait(l->epoll, all, EVENTS, -1);
        for (int i = 0; i < n; i++) {
            struct side *s = all[i].data.ptr;
            if (s != NULL) {
                if (s->fd >= 0)
                    hear(l, s, (all[i].events & EPOLLRDHUP) != 0);
                continue;
            }
            for (int k = 0, fd; k < EVENTS && (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0; k++) {
                struct side *client = new_side(fd, 0);
                if (pooled) {
                    hear(l, client, 0);
                } else {
                    client->other = to_origin(l->epoll);
                    client->other->other = client;
                    watch(l->epoll, client);
                }
            }
        }
        while (l->ends > 0)
            free(l->over[--l->ends]);
    }
    return NULL;
}

int main(int n, char **v)
{
    must(n == 5, "floor PORT ORIGIN WORKERS pooled|paired");
    port = atoi(v[1]);
    origin = atoi(v[2]);
    pooled = strcmp(v[4], "pooled") == 0;
    pthread_t thread;
    for (int i = 1; i < atoi(v[3]); i++)
        must(pthread_create(&thread, NULL, work, NULL) == 0, "thread");
    work(NULL);
}

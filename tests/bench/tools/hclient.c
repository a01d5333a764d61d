// Keep-alive client for counting instructions: hclient PORT CONNS WARM N bare|browser [PATH].
// Sends WARM requests, prints READY, waits for a line, sends N more, prints DONE, waits for a line. Bounded
// in time.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
typedef struct {
    int fd;
    int hl;
    long need;
    char hb[8192];
} C;
static char req[4096];
static int rl;
static C *cs;
static int nc, ep;
static long bad;
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}
static void snd(C *c) {
    c->hl = 0;
    c->need = -1;
    if (write(c->fd, req, rl) != rl) {
        perror("write");
        exit(1);
    }
}
static char buf[1 << 18];
static int feed(C *c, long n) { // 1 when complete
    if (c->need < 0) {
        long k = n;
        if (c->hl + k > (long)sizeof c->hb - 1) {
            k = sizeof c->hb - 1 - c->hl;
        }
        memcpy(c->hb + c->hl, buf, k);
        c->hb[c->hl + k] = 0;
        char *e = strstr(c->hb, "\r\n\r\n");
        if (!e) {
            c->hl += k;
            return 0;
        }
        long used = e + 4 - c->hb - c->hl;
        *e = 0;
        if (strncmp(c->hb, "HTTP/1.1 200", 12)) {
            bad++;
            fprintf(stderr, "bad: %.200s\n", c->hb);
        }
        char *q = strcasestr(c->hb, "\r\ncontent-length:");
        c->need = q ? atol(q + 17) : 0;
        n -= used;
    }
    c->need -= n;
    return c->need <= 0;
}
static void run(long N) {
    long sent = 0, done = 0;
    struct epoll_event ev[256];
    for (int i = 0; i < nc && sent < N; i++) {
        snd(&cs[i]);
        sent++;
    }
    double t0 = now();
    while (done < N) {
        int k = epoll_wait(ep, ev, 256, 1000);
        if (now() - t0 > 280) {
            fprintf(stderr, "timeout done=%ld\n", done);
            exit(2);
        }
        for (int i = 0; i < k; i++) {
            C *c = ev[i].data.ptr;
            long n = read(c->fd, buf, sizeof buf);
            if (n <= 0) {
                if (n < 0 && errno == EAGAIN) {
                    continue;
                }
                fprintf(stderr, "closed n=%ld errno=%d\n", n, errno);
                exit(3);
            }
            if (feed(c, n)) {
                done++;
                if (sent < N) {
                    snd(c);
                    sent++;
                }
            }
        }
    }
}
int main(int ac, char **av) {
    int port = atoi(av[1]);
    nc = atoi(av[2]);
    long warm = atol(av[3]), N = atol(av[4]);
    const char *kind = av[5], *path = ac > 6 ? av[6] : "/x64";
    if (!strcmp(kind, "bare")) {
        rl = sprintf(req, "GET %s HTTP/1.1\r\nHost: localhost\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n",
                     path);
    } else {
        rl = sprintf(
            req,
            "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\nCache-Control: "
            "max-age=0\r\nUpgrade-Insecure-Requests: 1\r\nUser-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; "
            "x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\nAccept: "
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/"
            "*;q=0.8\r\nReferer: https://www.example.cn/catalogue/list?page=3\r\nAccept-Encoding: gzip, "
            "deflate, br, zstd\r\nAccept-Language: zh-CN,zh;q=0.9,en;q=0.8\r\nCookie: "
            "sid=8f14e45fceea167a5a36dedd4bea2543; theme=dark; _ga=GA1.2.1234567890.1700000000\r\n\r\n",
            path);
    }
    struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, "127.0.0.1", &sa.sin_addr);
    ep = epoll_create1(0);
    cs = calloc(nc, sizeof *cs);
    for (int i = 0; i < nc; i++) {
        cs[i].fd = socket(AF_INET, SOCK_STREAM, 0);
        int one = 1;
        setsockopt(cs[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (connect(cs[i].fd, (void *)&sa, sizeof sa)) {
            perror("connect");
            return 1;
        }
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = &cs[i]};
        epoll_ctl(ep, EPOLL_CTL_ADD, cs[i].fd, &e);
    }
    char l[64];
    run(warm);
    printf("READY\n");
    fflush(stdout);
    if (!fgets(l, 64, stdin)) {
        return 1;
    }
    double t = now();
    run(N);
    printf("DONE %.4f bad=%ld rl=%d\n", now() - t, bad, rl);
    fflush(stdout);
    if (!fgets(l, 64, stdin)) {
        return 1;
    }
    return 0;
}

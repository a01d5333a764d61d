// Load client, one thread on epoll, bounded by -d seconds and -n requests; prints one line of JSON.
//   cload -m new|keep|hold [-t [-2]] -c CONNECTIONS -d SECONDS -n REQUESTS -p PORT -u PATH [-h HOST] [-r RATE]
// -r   = so many requests a second, on at most -c connections; latency = when it was due .. body complete
// new   = one connection (and full TLS handshake) per request; latency = connect start .. body complete
// keep = keepalive GETs with 256 KiB reads; latency = request .. body complete
// hold = open -c connections, one GET each, print READY, hold until stdin closes or -d seconds
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
typedef struct {
    int fd;
    SSL *ssl;
    int st;
    int woff;
    double t0;
    long need;
    long got;
    int hdr;
    int chunked;
    int done;
    int hl;
    char hb[4096];
    char tail[8];
    int tl;
} C;
enum { CONNECTING, HANDSHAKE, WRITING, READING, IDLE };
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}
static int ep, tls, mode, nc = 16, port;
static double dur = 5, tstart, every, due;
static const char *path = "/", *host = "localhost";
static char req[1024];
static int rl;
static SSL_CTX *ctx;
static struct sockaddr_in sa;
static long reqs, errs, bytes, non2xx, resumed, maxreq = 100000000;
static unsigned *lat;
static long nlat, caplat = 4000000;
static char buf[262144];
static int stopping;
static long holding;
static char errtxt[200], ver[80];
static void arm(C *c, int ev, int op) {
    struct epoll_event e = {.events = ev, .data.ptr = c};
    epoll_ctl(ep, op, c->fd, &e);
}
static void fail(C *c, const char *w) {
    errs++;
    if (!errtxt[0]) {
        snprintf(errtxt, sizeof errtxt, "%s errno=%d ssl=%s", w, errno,
                 ERR_error_string(ERR_peek_last_error(), 0));
    }
    (void)c;
}
static void closec(C *c) {
    if (c->ssl) {
        SSL_free(c->ssl);
        c->ssl = 0;
    }
    if (c->fd >= 0) {
        close(c->fd);
    }
    c->fd = -1;
}
static void startreq(C *c) {
    c->woff = 0;
    c->hdr = 0;
    c->hl = 0;
    c->need = -1;
    c->got = 0;
    c->chunked = 0;
    c->done = 0;
    c->tl = 0;
    c->st = WRITING;
}
static int openc(C *c) {
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) {
        fail(c, "socket");
        return -1;
    }
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c->t0 = now();
    c->st = CONNECTING;
    c->ssl = 0;
    if (connect(c->fd, (struct sockaddr *)&sa, sizeof sa) < 0 && errno != EINPROGRESS) {
        fail(c, "connect");
        close(c->fd);
        c->fd = -1;
        return -1;
    }
    arm(c, EPOLLOUT | EPOLLIN | EPOLLET, EPOLL_CTL_ADD);
    return 0;
}
static long rd(C *c, int *again) {
    *again = 0;
    if (c->ssl) {
        int n = SSL_read(c->ssl, buf, sizeof buf);
        if (n > 0) {
            return n;
        }
        int e = SSL_get_error(c->ssl, n);
        if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
            *again = 1;
            return -1;
        }
        if (e == SSL_ERROR_ZERO_RETURN) {
            return 0;
        }
        if (e == SSL_ERROR_SYSCALL ||
            ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING) {
            ERR_clear_error();
            return 0;
        }
        return -1;
    }
    long n = read(c->fd, buf, sizeof buf);
    if (n < 0 && errno == EAGAIN) {
        *again = 1;
    }
    return n;
}
static void complete(C *c) {
    double d = (now() - c->t0) * 1e6;
    if (nlat < caplat) {
        lat[nlat++] = (unsigned)d;
    }
    reqs++;
    c->done = 1;
    if (reqs >= maxreq) {
        stopping = 1;
    }
}
static void body(C *c, const char *p, long n) {
    bytes += n;
    c->got += n;
    if (c->chunked) {
        long k = n < 5 ? n : 5;
        if (n >= 5) {
            memcpy(c->tail, p + n - 5, 5);
            c->tl = 5;
        } else {
            int keep = c->tl + k > 5 ? 5 - k : c->tl;
            memmove(c->tail, c->tail + c->tl - keep, keep);
            memcpy(c->tail + keep, p, k);
            c->tl = keep + k;
        }
        if (c->tl == 5 && !memcmp(c->tail, "0\r\n\r\n", 5)) {
            complete(c);
        }
    } else if (c->need >= 0 && c->got >= c->need) {
        complete(c);
    }
}
static void feed(C *c, long n) {
    char *p = buf;
    if (!c->hdr) {
        long k = n;
        if (c->hl + k > (long)sizeof c->hb - 1) {
            k = sizeof c->hb - 1 - c->hl;
        }
        memcpy(c->hb + c->hl, p, k);
        c->hb[c->hl + k] = 0;
        char *e = strstr(c->hb, "\r\n\r\n");
        if (!e) {
            c->hl += k;
            return;
        }
        long hlen = e + 4 - c->hb;
        long used = hlen - c->hl;
        c->hdr = 1;
        *e = 0;
        if (strncmp(c->hb + 9, "2", 1)) {
            non2xx++;
        }
        char *q = strcasestr(c->hb, "\r\ncontent-length:");
        if (q) {
            c->need = atol(q + 17);
        } else if (strcasestr(c->hb, "\r\ntransfer-encoding: chunked")) {
            c->chunked = 1;
        }
        p += used;
        n -= used;
        if (n == 0 && c->need == 0) {
            complete(c);
            return;
        }
        if (n == 0) {
            return;
        }
    }
    if (!c->done) {
        body(c, p, n);
    }
}
static void step(C *c) {
    for (;;) {
        switch (c->st) {
        case CONNECTING: {
            int e = 0;
            socklen_t l = sizeof e;
            getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &e, &l);
            if (e) {
                errno = e;
                fail(c, "connect");
                closec(c);
                goto re;
            }
            struct sockaddr_in pa;
            l = sizeof pa;
            if (getpeername(c->fd, (void *)&pa, &l)) {
                return;
            }
            if (tls) {
                c->ssl = SSL_new(ctx);
                SSL_set_fd(c->ssl, c->fd);
                SSL_set_tlsext_host_name(c->ssl, host);
                SSL_set_connect_state(c->ssl);
                c->st = HANDSHAKE;
            } else {
                startreq(c);
            }
            break;
        }
        case HANDSHAKE: {
            int r = SSL_do_handshake(c->ssl);
            if (r == 1) {
                if (SSL_session_reused(c->ssl)) {
                    resumed++;
                }
                if (!ver[0]) {
                    snprintf(ver, sizeof ver, "%s %s", SSL_get_version(c->ssl), SSL_get_cipher_name(c->ssl));
                }
                startreq(c);
                break;
            }
            int e = SSL_get_error(c->ssl, r);
            if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
                return;
            }
            fail(c, "handshake");
            closec(c);
            goto re;
        }
        case WRITING: {
            long n = c->ssl ? SSL_write(c->ssl, req + c->woff, rl - c->woff)
                            : write(c->fd, req + c->woff, rl - c->woff);
            if (n <= 0) {
                if (c->ssl) {
                    int e = SSL_get_error(c->ssl, n);
                    if (e == SSL_ERROR_WANT_READ || e == SSL_ERROR_WANT_WRITE) {
                        return;
                    }
                } else if (errno == EAGAIN) {
                    return;
                }
                fail(c, "write");
                closec(c);
                goto re;
            }
            c->woff += n;
            if (c->woff == rl) {
                c->st = READING;
            }
            break;
        }
        case READING:
        case IDLE: {
            int ag;
            if (mode != 2 && now() - tstart > dur) {
                stopping = 1;
                return;
            }
            long n = rd(c, &ag);
            if (n < 0) {
                if (ag) {
                    return;
                }
                fail(c, "read");
                closec(c);
                goto re;
            }
            if (n == 0) {
                if (c->st == IDLE) {
                    errs++;
                    holding--;
                    closec(c);
                    return;
                }
                if (!c->done) {
                    if (c->hdr && c->need < 0 && !c->chunked) {
                        complete(c);
                    } else {
                        fail(c, "eof before end");
                    }
                }
                closec(c);
                goto re;
            }
            if (c->st == IDLE) {
                break;
            }
            if (!c->done) {
                feed(c, n);
            }
            if (c->done && mode == 1) {
                if (stopping) {
                    return;
                }
                if (every > 0) {
                    c->st = IDLE;
                    break;
                }
                c->t0 = now();
                startreq(c);
            }
            if (c->done && mode == 2) {
                c->st = IDLE;
                holding++;
            }
            break;
        }
        }
        continue;
    re:
        if (stopping || mode == 2 || every > 0) {
            return;
        }
        if (now() - tstart > dur) {
            return;
        }
        if (openc(c) < 0) {
            return;
        }
        return;
    }
}
// Begins what is due, on connections that are free; what finds none is begun late and counts from when it was due.
static void pace(C *cs) {
    static int at;
    for (int tried = 0; tried < nc && due <= now(); at = (at + 1) % nc) {
        C *c = &cs[at];
        if (c->fd < 0) {
            if (openc(c) < 0) {
                return;
            }
            c->t0 = due;
        } else if (mode == 1 && c->st == IDLE) {
            c->t0 = due;
            startreq(c);
            step(c);
        } else {
            tried++;
            continue;
        }
        due += every;
        tried = 0;
    }
}
static int cmp(const void *a, const void *b) {
    unsigned x = *(unsigned *)a, y = *(unsigned *)b;
    return x < y ? -1 : x > y;
}
int main(int ac, char **av) {
    int o;
    const char *ip = "127.0.0.1";
    signal(SIGPIPE, SIG_IGN);
    int v12 = 0;
    while ((o = getopt(ac, av, "m:t2c:d:p:u:h:n:r:")) > 0) {
        switch (o) {
        case 'm':
            mode = !strcmp(optarg, "keep") ? 1 : !strcmp(optarg, "hold") ? 2 : 0;
            break;
        case 't':
            tls = 1;
            break;
        case '2':
            v12 = 1;
            break;
        case 'c':
            nc = atoi(optarg);
            break;
        case 'd':
            dur = atof(optarg);
            break;
        case 'p':
            port = atoi(optarg);
            break;
        case 'u':
            path = optarg;
            break;
        case 'h':
            host = optarg;
            break;
        case 'n':
            maxreq = atol(optarg);
            break;
        case 'r':
            every = 1 / atof(optarg);
            break;
        default:
            return 2;
        }
    }
    sa.sin_family = AF_INET;
    sa.sin_port = htons(port);
    inet_pton(AF_INET, ip, &sa.sin_addr);
    rl =
        snprintf(req, sizeof req, "GET %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: cload\r\nAccept: */*\r\n%s\r\n",
                 path, host, mode == 0 ? "Connection: close\r\n" : "");
    lat = malloc(caplat * sizeof *lat);
    ep = epoll_create1(0);
    if (tls) {
        ctx = SSL_CTX_new(TLS_client_method());
        SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
        if (v12) {
            SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
        }
        SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
        SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, 0);
        SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
        unsigned char al[] = "\x08http/1.1";
        SSL_CTX_set_alpn_protos(ctx, al, 9);
    }
    C *cs = calloc(nc, sizeof *cs);
    tstart = now();
    int opened = 0;
    for (int i = 0; i < nc; i++) {
        cs[i].fd = -1;
    }
    due = tstart;
    if (mode != 2 && every == 0) {
        for (; opened < nc; opened++) {
            openc(&cs[opened]);
        }
    }
    struct epoll_event ev[512];
    int ready = 0;
    double tend;
    for (;;) {
        if (mode == 2) {
            while (opened < nc && opened - holding - errs < 200) {
                if (openc(&cs[opened]) < 0 && errs > 1000) {
                    break;
                }
                opened++;
            }
        }
        double wait = 0.02;
        if (every > 0) {
            pace(cs);
            wait = due - now();
            wait = wait < 0 || wait > 0.02 ? 0.02 : wait;
        }
        struct timespec most = {0, (long)(wait * 1e9)};
        int n = epoll_pwait2(ep, ev, 512, &most, 0);
        for (int i = 0; i < n; i++) {
            C *c = ev[i].data.ptr;
            if (c->fd >= 0) {
                step(c);
            }
        }
        tend = now();
        if (mode == 2) {
            if (!ready && opened == nc && holding + errs >= nc) {
                ready = 1;
                printf("READY %ld errs=%ld secs=%.2f\n", holding, errs, tend - tstart);
                fflush(stdout);
            }
            if (ready) {
                fd_set f;
                FD_ZERO(&f);
                FD_SET(0, &f);
                struct timeval tv = {0, 0};
                if (select(1, &f, 0, 0, &tv) > 0) {
                    break;
                }
            }
        }
        if (mode != 2 && every == 0) {
            int alive = 0;
            for (int i = 0; i < nc; i++) {
                if (cs[i].fd >= 0) {
                    alive = 1;
                    break;
                }
            }
            if (!alive && tend - tstart < dur && !stopping) {
                usleep(1000);
                for (int i = 0; i < nc; i++) {
                    openc(&cs[i]);
                }
            } else if (mode == 0 && tend - tstart < dur && !stopping) {
                for (int i = 0; i < nc; i++) {
                    if (cs[i].fd < 0) {
                        openc(&cs[i]);
                    }
                }
            }
        }
        if (tend - tstart >= dur || stopping) {
            break;
        }
    }
    double el = tend - tstart;
    qsort(lat, nlat, sizeof *lat, cmp);
    printf("JSON "
           "{\"requests\":%ld,\"bytes\":%ld,\"secs\":%.4f,\"errors\":%ld,\"non2xx\":%ld,\"resumed\":%ld,"
           "\"holding\":%ld,\"p50_us\":%u,\"p99_us\":%u,\"max_us\":%u,\"tls\":\"%s\",\"err\":\"%s\"}\n",
           reqs, bytes, el, errs, non2xx, resumed, holding, nlat ? lat[nlat / 2] : 0,
           nlat ? lat[(long)(nlat * 0.99)] : 0, nlat ? lat[nlat - 1] : 0, ver, errtxt);
    return 0;
}

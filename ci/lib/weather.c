/* Bad weather for system calls, preloaded by ci/faults: short reads and writes, interruptions, refusals, few events.
 *
 *   WEATHER_SEED  a number; each thread has a sequence of its own
 *   WEATHER_RATE  how many calls of a thousand are hit
 *   WEATHER_LOG   a file to which the number of hits is appended when a process ends
 *
 * All of it is what a kernel may do. What a short read leaves behind, or a refusal conceals, counts as having come just
 * after: so the descriptor is reported again, by a change of its registration with epoll. Otherwise a reader that takes a
 * short read as the last one, as epoll(7) allows, would wait for ever. Datagrams are not shortened: that would lose bytes. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) \
  static __typeof__(&name) real; \
  if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)
#define FDS 4096

enum { NOTHING, SHORT, INTERRUPT, REFUSE };

static atomic_ulong hits, threads;
/* Where a descriptor is registered; stale once it is closed, and then changing it fails. */
static struct registration { int epoll; struct epoll_event event; } registered[FDS];

static unsigned long number(const char *name, unsigned long otherwise) {
  const char *value = getenv(name);
  return value ? strtoul(value, NULL, 10) : otherwise;
}

static uint64_t draw(void) {
  static __thread uint64_t state;
  if (!state) {
    uint64_t thread = atomic_fetch_add(&threads, 1);
    state = (number("WEATHER_SEED", 1) * 1000 + thread + 1) * 0x9e3779b97f4a7c15u | 1;
  }
  state ^= state << 13, state ^= state >> 7, state ^= state << 17;
  return state >> 11;
}

static int is_hit(void) {
  static unsigned long rate = 1001;
  if (rate > 1000) rate = number("WEATHER_RATE", 0);
  return draw() % 1000 < rate;
}

/* At least one, of `most`. */
static size_t fewer(size_t most) { return most > 1 ? 1 + draw() % (most - 1) : most; }

static int is_stream(int fd) {
  int type;
  socklen_t len = sizeof type;
  struct stat stat;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0) return type == SOCK_STREAM;
  return fstat(fd, &stat) == 0 && S_ISFIFO(stat.st_mode);
}

/* What is to happen to a call; `is_divisible`: it may move fewer bytes than it is asked for. */
static int weather(int fd, int is_divisible) {
  if (!is_hit()) return NOTHING;
  int saved = errno, what = 1 + draw() % 3;
  if (what == SHORT && !(is_divisible && is_stream(fd))) what = INTERRUPT;
  if (what == REFUSE && !(fcntl(fd, F_GETFL) & O_NONBLOCK)) what = INTERRUPT;
  errno = saved;
  atomic_fetch_add(&hits, 1);
  return what;
}

static void report_again(int fd) {
  REAL(epoll_ctl);
  if (fd < 0 || fd >= FDS || !registered[fd].epoll) return;
  int saved = errno;
  struct registration it = registered[fd];
  real(it.epoll - 1, EPOLL_CTL_MOD, fd, &it.event);
  errno = saved;
}

int epoll_ctl(int epoll, int operation, int fd, struct epoll_event *event) {
  REAL(epoll_ctl);
  int result = real(epoll, operation, fd, event);
  if (result == 0 && fd >= 0 && fd < FDS) {
    registered[fd].epoll = operation == EPOLL_CTL_DEL ? 0 : epoll + 1;
    if (event) registered[fd].event = *event;
  }
  return result;
}

/* A call that fails instead of being made, or goes on with a changed `length`. */
#define WEATHER(fd, is_divisible, length) \
  int what = weather(fd, is_divisible); \
  if (what == INTERRUPT) { errno = EINTR; return -1; } \
  if (what == REFUSE) { report_again(fd); errno = EAGAIN; return -1; } \
  if (what == SHORT) length = fewer(length)
#define MADE(fd, call) \
  __typeof__(call) result = call; \
  if (what == SHORT) report_again(fd); \
  return result

ssize_t read(int fd, void *buf, size_t len) { REAL(read); WEATHER(fd, 1, len); MADE(fd, real(fd, buf, len)); }

/* A single byte is not refused: to who writes one to wake somebody, a full pipe says that there is one to be read. */
ssize_t write(int fd, const void *buf, size_t len) {
  REAL(write);
  if (len == 1) return real(fd, buf, len);
  WEATHER(fd, 1, len);
  MADE(fd, real(fd, buf, len));
}

ssize_t recv(int fd, void *buf, size_t len, int flags) { REAL(recv); WEATHER(fd, 1, len); MADE(fd, real(fd, buf, len, flags)); }
ssize_t send(int fd, const void *buf, size_t len, int flags) { REAL(send); WEATHER(fd, 1, len); MADE(fd, real(fd, buf, len, flags)); }

ssize_t recvfrom(int fd, void *buf, size_t len, int flags, struct sockaddr *addr, socklen_t *addr_len) {
  REAL(recvfrom);
  WEATHER(fd, 1, len);
  MADE(fd, real(fd, buf, len, flags, addr, addr_len));
}

ssize_t sendto(int fd, const void *buf, size_t len, int flags, const struct sockaddr *addr, socklen_t addr_len) {
  REAL(sendto);
  WEATHER(fd, 1, len);
  MADE(fd, real(fd, buf, len, flags, addr, addr_len));
}

/* Of several buffers a part of the first. */
#define FIRST(iov, count) \
  struct iovec first = count > 0 ? *iov : (struct iovec){0}; \
  if (what == SHORT && first.iov_len) first.iov_len = fewer(first.iov_len), iov = &first, count = 1

ssize_t readv(int fd, const struct iovec *iov, int count) {
  REAL(readv);
  size_t ignored = 1;
  WEATHER(fd, 1, ignored);
  FIRST(iov, count);
  MADE(fd, real(fd, iov, count));
}

ssize_t writev(int fd, const struct iovec *iov, int count) {
  REAL(writev);
  size_t ignored = 1;
  WEATHER(fd, 1, ignored);
  FIRST(iov, count);
  MADE(fd, real(fd, iov, count));
}

/* Descriptors travel with all of their bytes, so that who sends them need not care. */
#define MESSAGE(message) \
  struct msghdr changed = *message; \
  struct iovec first = changed.msg_iovlen ? changed.msg_iov[0] : (struct iovec){0}; \
  if (what == SHORT && first.iov_len) first.iov_len = fewer(first.iov_len), changed.msg_iov = &first, changed.msg_iovlen = 1

ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
  REAL(sendmsg);
  size_t ignored = 1;
  WEATHER(fd, message->msg_controllen == 0, ignored);
  MESSAGE(message);
  MADE(fd, real(fd, &changed, flags));
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags) {
  REAL(recvmsg);
  size_t ignored = 1;
  WEATHER(fd, message->msg_controllen == 0, ignored);
  MESSAGE(message);
  ssize_t result = real(fd, &changed, flags);
  message->msg_namelen = changed.msg_namelen;
  message->msg_controllen = changed.msg_controllen;
  message->msg_flags = changed.msg_flags;
  if (what == SHORT) report_again(fd);
  return result;
}

/* Fewer messages of those asked for. */
int sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags) {
  REAL(sendmmsg);
  WEATHER(fd, 0, count);
  if (is_hit()) count = fewer(count);
  return real(fd, messages, count, flags);
}

int recvmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags, struct timespec *timeout) {
  REAL(recvmmsg);
  WEATHER(fd, 0, count);
  unsigned asked = count;
  if (is_hit()) count = fewer(count);
  int result = real(fd, messages, count, flags, timeout);
  if (count < asked) report_again(fd);
  return result;
}

int accept4(int fd, struct sockaddr *addr, socklen_t *len, int flags) {
  REAL(accept4);
  size_t ignored = 1;
  WEATHER(fd, 0, ignored);
  return real(fd, addr, len, flags);
}

ssize_t splice(int from, off64_t *from_offset, int to, off64_t *to_offset, size_t len, unsigned flags) {
  REAL(splice);
  int socket = fcntl(from, F_GETPIPE_SZ) > 0 ? to : from;
  WEATHER(socket, 1, len);
  MADE(socket, real(from, from_offset, to, to_offset, len, flags));
}

ssize_t sendfile64(int to, int from, off64_t *offset, size_t len) {
  REAL(sendfile64);
  WEATHER(to, 1, len);
  MADE(to, real(to, from, offset, len));
}

static int is_interrupted(void) {
  if (!is_hit()) return 0;
  atomic_fetch_add(&hits, 1);
  errno = EINTR;
  return 1;
}

int epoll_wait(int epoll, struct epoll_event *events, int count, int timeout) {
  REAL(epoll_wait);
  if (is_interrupted()) return -1;
  if (is_hit()) count = 1; /* Those that are left come with the next call. */
  return real(epoll, events, count, timeout);
}

int poll(struct pollfd *fds, nfds_t count, int timeout) {
  REAL(poll);
  if (is_interrupted()) return -1;
  return real(fds, count, timeout);
}

int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask) {
  REAL(ppoll);
  if (is_interrupted()) return -1;
  return real(fds, count, timeout, mask);
}

/* A resolver that takes its time. */
int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
  REAL(getaddrinfo);
  if (is_hit()) atomic_fetch_add(&hits, 1), usleep(1000 * (draw() % 50));
  return real(host, service, hints, found);
}

__attribute__((destructor)) static void tell(void) {
  const char *path = getenv("WEATHER_LOG");
  FILE *log = path ? fopen(path, "ae") : NULL;
  if (!log) return;
  fprintf(log, "%lu\n", atomic_load(&hits));
  fclose(log);
}

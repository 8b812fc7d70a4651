/* Has a program that listens on every address listen on loopback only: preloaded, it stands before bind(2).
   Orthanc and DCMTK's receivers cannot be told so by their configuration. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <string.h>
#include <sys/socket.h>

typedef int (*bind_call)(int, const struct sockaddr *, socklen_t);

int bind(int descriptor, const struct sockaddr *wanted, socklen_t length)
{
    bind_call next = (bind_call)dlsym(RTLD_NEXT, "bind");
    struct sockaddr_storage allowed;

    if (wanted == NULL || length > sizeof allowed)
        return next(descriptor, wanted, length);
    memcpy(&allowed, wanted, length);
    if (allowed.ss_family == AF_INET)
        ((struct sockaddr_in *)&allowed)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else if (allowed.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&allowed)->sin6_addr = in6addr_loopback;
    return next(descriptor, (struct sockaddr *)&allowed, length);
}

/* SoftHSM's module with one function in the place of another: what goes wrong is in the file that FAULT names, which is read
   at each call, so that it can begin and end while the module is loaded. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef unsigned long rv;
struct list {
    unsigned char version[2];
    void *functions[68];
};
enum { LOGIN = 18, SIGN = 43, GET_TOKEN_INFO = 6 };
static struct list list;
static struct list *real;

static int is(const char *fault) {
    char found[64] = "";
    const char *path = getenv("FAULT");
    FILE *file = path ? fopen(path, "r") : NULL;
    if (file) {
        if (!fgets(found, sizeof found, file)) found[0] = 0;
        fclose(file);
    }
    return strcmp(found, fault) == 0;
}

static rv sign(rv session, unsigned char *data, rv length, unsigned char *signature, rv *signed_length) {
    if (is("sign-crash")) abort();
    if (is("sign-hang")) for (;;) pause();
    if (is("sign-session-closed")) return 0xB0;
    if (is("sign-rubbish")) {
        if (signature) memset(signature, 0, 64);
        *signed_length = 64;
        return 0;
    }
    rv (*to)(rv, unsigned char *, rv, unsigned char *, rv *);
    *(void **)&to = real->functions[SIGN];
    return to(session, data, length, signature, signed_length);
}

static void show(const char *what, FILE *to) {
    char text[4096];
    size_t count;
    FILE *from = fopen(what, "r");
    while (from && (count = fread(text, 1, sizeof text, from)) > 0) fwrite(text, 1, count, to);
    if (from) fclose(from);
    fputc('\n', to);
}

static rv login(rv session, rv user, unsigned char *pin, rv length) {
    const char *path = getenv("LOGINS");
    FILE *file = path ? fopen(path, "a") : NULL;
    if (file) {
        fputs("login\n", file);
        if (is("look-around")) {
            show("/proc/self/environ", file);
            show("/proc/self/cmdline", file);
        }
        fclose(file);
    }
    if (is("login-locked")) return 0xA4;
    rv (*to)(rv, rv, unsigned char *, rv);
    *(void **)&to = real->functions[LOGIN];
    return to(session, user, pin, length);
}

/* The flags stand behind the label, the maker, the model and the serial number. */
static rv token_info(rv slot, unsigned char *info) {
    rv (*to)(rv, unsigned char *);
    *(void **)&to = real->functions[GET_TOKEN_INFO];
    rv value = to(slot, info);
    rv *flags = (rv *)(info + 32 + 32 + 16 + 16);
    if (is("last-try")) *flags |= 0x00020000;
    if (is("pin-locked")) *flags |= 0x00040000;
    return value;
}

rv C_GetFunctionList(struct list **found) {
    if (is("load-crash")) abort();
    if (is("load-hang")) for (;;) pause();
    puts("a module that prints where it should not");
    void *module = dlopen(getenv("REAL_MODULE"), RTLD_NOW);
    rv (*get)(struct list **);
    *(void **)&get = module ? dlsym(module, "C_GetFunctionList") : NULL;
    if (!get) return 5;
    rv value = get(&real);
    list = *real;
    list.functions[SIGN] = (void *)sign;
    list.functions[LOGIN] = (void *)login;
    list.functions[GET_TOKEN_INFO] = (void *)token_info;
    *found = &list;
    return value;
}

/* The functions of libsasl2 that librdkafka calls. Each hands the call on to the system's library, which is loaded, once,
   when the first connection is made: librdkafka calls `sasl_client_init` in every process that has a client. */
#include <dlfcn.h>
#include <pthread.h>
#include <sasl/sasl.h>
#include <stddef.h>
#include <stdlib.h>

/* Both have the same interface; Debian's is called 2, that of Fedora and RHEL 3. */
static const char *const NAMES[] = {"libsasl2.so.2", "libsasl2.so.3", "libsasl2.2.dylib", "libsasl2.dylib"};

static const char MISSING[] = "the system's SASL library is not installed: Kerberos needs the packages libsasl2-2 and "
                              "libsasl2-modules-gssapi-mit (Debian, Ubuntu) or cyrus-sasl-lib and cyrus-sasl-gssapi "
                              "(Fedora, RHEL)";
static const char UNUSABLE[] = "the system's SASL library cannot be used";

static pthread_once_t once = PTHREAD_ONCE_INIT;
static const char *why = MISSING; /* NULL: the library is loaded */

static struct {
  void (*set_mutex)(sasl_mutex_alloc_t *, sasl_mutex_lock_t *, sasl_mutex_unlock_t *, sasl_mutex_free_t *);
  int (*client_init)(const sasl_callback_t *);
  int (*client_new)(const char *, const char *, const char *, const char *, const sasl_callback_t *, unsigned,
                    sasl_conn_t **);
  int (*client_start)(sasl_conn_t *, const char *, sasl_interact_t **, const char **, unsigned *, const char **);
  int (*client_step)(sasl_conn_t *, const char *, unsigned, sasl_interact_t **, const char **, unsigned *);
  void (*dispose)(sasl_conn_t **);
  const char *(*errdetail)(sasl_conn_t *);
  const char *(*errstring)(int, const char *, const char **);
  int (*getprop)(sasl_conn_t *, int, const void **);
  int (*listmech)(sasl_conn_t *, const char *, const char *, const char *, const char *, const char **, unsigned *,
                  int *);
} real;

/* Clients have threads of their own, and without these the library's locks lock nothing. */
static void *mutex_new(void) {
  pthread_mutex_t *mutex = malloc(sizeof *mutex);
  if (mutex != NULL)
    pthread_mutex_init(mutex, NULL);
  return mutex;
}

static int mutex_lock(void *mutex) { return pthread_mutex_lock(mutex) == 0 ? SASL_OK : SASL_FAIL; }

static int mutex_unlock(void *mutex) { return pthread_mutex_unlock(mutex) == 0 ? SASL_OK : SASL_FAIL; }

static void mutex_free(void *mutex) {
  pthread_mutex_destroy(mutex);
  free(mutex);
}

static void load(void) {
  void *library = NULL;
  for (size_t i = 0; library == NULL && i < sizeof NAMES / sizeof *NAMES; i++)
    library = dlopen(NAMES[i], RTLD_NOW | RTLD_LOCAL);
  if (library == NULL)
    return;
  why = UNUSABLE;
  const struct {
    const char *name;
    void *place;
  } functions[] = {
      {"sasl_set_mutex", &real.set_mutex},     {"sasl_client_init", &real.client_init},
      {"sasl_client_new", &real.client_new},   {"sasl_client_start", &real.client_start},
      {"sasl_client_step", &real.client_step}, {"sasl_dispose", &real.dispose},
      {"sasl_errdetail", &real.errdetail},     {"sasl_errstring", &real.errstring},
      {"sasl_getprop", &real.getprop},         {"sasl_listmech", &real.listmech},
  };
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    void *found = dlsym(library, functions[i].name);
    if (found == NULL)
      return;
    *(void **)functions[i].place = found;
  }
  real.set_mutex(mutex_new, mutex_lock, mutex_unlock, mutex_free);
  if (real.client_init(NULL) == SASL_OK)
    why = NULL;
}

int sasl_client_init(const sasl_callback_t *callbacks) {
  (void)callbacks;
  return SASL_OK;
}

/* The only way to a connection, and so the first of the calls below. */
int sasl_client_new(const char *service, const char *server, const char *local, const char *remote,
                    const sasl_callback_t *prompts, unsigned flags, sasl_conn_t **conn) {
  pthread_once(&once, load);
  if (why != NULL)
    return SASL_NOTINIT;
  return real.client_new(service, server, local, remote, prompts, flags, conn);
}

int sasl_client_start(sasl_conn_t *conn, const char *mechanisms, sasl_interact_t **prompts, const char **out,
                      unsigned *length, const char **mechanism) {
  return real.client_start(conn, mechanisms, prompts, out, length, mechanism);
}

int sasl_client_step(sasl_conn_t *conn, const char *in, unsigned in_length, sasl_interact_t **prompts,
                     const char **out, unsigned *length) {
  return real.client_step(conn, in, in_length, prompts, out, length);
}

void sasl_dispose(sasl_conn_t **conn) { real.dispose(conn); }

const char *sasl_errdetail(sasl_conn_t *conn) { return real.errdetail(conn); }

const char *sasl_errstring(int error, const char *languages, const char **language) {
  return why != NULL ? why : real.errstring(error, languages, language);
}

int sasl_getprop(sasl_conn_t *conn, int property, const void **value) { return real.getprop(conn, property, value); }

int sasl_listmech(sasl_conn_t *conn, const char *user, const char *prefix, const char *separator, const char *suffix,
                  const char **result, unsigned *length, int *count) {
  return real.listmech(conn, user, prefix, separator, suffix, result, length, count);
}

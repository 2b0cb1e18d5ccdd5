/* A plugin of Mosquitto that says in its log who tries to log in.

   Mosquitto 2.0 logs a refused CONNECT with the sender's address alone; operators have to know which gateway
   has a wrong password, and behind one address many can sit. This writes a line before the broker decides, and
   leaves the decision to the password file: it neither admits nor refuses anybody, and sees no frame.
   `mosquitto_log.py` puts the name to the refusal that follows in the log (the broker has one thread) and drops
   the line otherwise. Mosquitto has refused control characters in a user name before it calls us.

   Interface: mosquitto_broker.h and mosquitto_plugin.h of Mosquitto 2.0, plugin version 5. */

#include <mosquitto.h>
#include <mosquitto_broker.h>
#include <mosquitto_plugin.h>

static mosquitto_plugin_id_t *plugin;

static int say_who(int event, void *data, void *unused) {
    struct mosquitto_evt_basic_auth *attempt = data;
    (void)event;
    (void)unused;
    if (attempt->username)
        mosquitto_log_printf(MOSQ_LOG_INFO, "Log-in by u'%.200s'", attempt->username);
    return MOSQ_ERR_PLUGIN_DEFER;
}

int mosquitto_plugin_version(int count, const int *versions) {
    for (int i = 0; i < count; i++)
        if (versions[i] == 5)
            return 5;
    return -1;
}

int mosquitto_plugin_init(mosquitto_plugin_id_t *id, void **state, struct mosquitto_opt *options, int count) {
    (void)state;
    (void)options;
    (void)count;
    plugin = id;
    return mosquitto_callback_register(id, MOSQ_EVT_BASIC_AUTH, say_who, NULL, NULL);
}

int mosquitto_plugin_cleanup(void *state, struct mosquitto_opt *options, int count) {
    (void)state;
    (void)options;
    (void)count;
    return mosquitto_callback_unregister(plugin, MOSQ_EVT_BASIC_AUTH, say_who, NULL);
}

/* SPDX-License-Identifier: LGPL-2.1-or-later */

/* org.varlink.service, the interface that every varlink service has: what is this, which interfaces does
 * it offer, and their definitions, its own included (varlinkctl introspect asks for it). It goes through
 * the same table, checks and dispatch as every other interface; the server adds it to itself first. */

#include "common/varlink/varlink-internal.h"

#include <errno.h>

#include "common/json/json.h"

static const char definition[] =
                "# What every varlink service answers: about itself, and about its interfaces.\n"
                "interface org.varlink.service\n"
                "\n"
                "# Who made this service, and the interfaces that it offers.\n"
                "method GetInfo() -> (\n"
                "  vendor: string,\n"
                "  product: string,\n"
                "  version: string,\n"
                "  url: string,\n"
                "  interfaces: []string\n"
                ")\n"
                "\n"
                "# The definition of one of the interfaces.\n"
                "method GetInterfaceDescription(interface: string) -> (description: string)\n"
                "\n"
                "# The service has no such interface.\n"
                "error InterfaceNotFound (interface: string)\n"
                "\n"
                "# The interface has no such method.\n"
                "error MethodNotFound (method: string)\n"
                "\n"
                "# The interface has the method, but the service does not implement it.\n"
                "error MethodNotImplemented (method: string)\n"
                "\n"
                "# A parameter is unknown, missing or of the wrong type.\n"
                "error InvalidParameter (parameter: string)\n"
                "\n"
                "# The caller may not do this.\n"
                "error PermissionDenied ()\n"
                "\n"
                "# The method answers more than once: it must be called with `more`.\n"
                "error ExpectedMore ()\n";

static int on_get_info(VarlinkCall *call, json_t *parameters, void *userdata)
{
        VarlinkServer *s = ASSERT_PTR((VarlinkServer *)userdata);
        _cleanup_json_ json_t *names = json_array();
        _cleanup_json_ json_t *reply = json_object();

        if (!names || !reply)
                return -ENOMEM;
        for (size_t i = 0; i < s->n_interfaces; i++)
                if (json_array_append_new(names, json_string(varlink_idl_name(s->interfaces[i]->idl))) < 0)
                        return -ENOMEM;
        if (json_set_string(reply, "vendor", s->info.vendor ?: "") < 0 ||
            json_set_string(reply, "product", s->info.product ?: "") < 0 ||
            json_set_string(reply, "version", s->info.version ?: "") < 0 ||
            json_set_string(reply, "url", s->info.url ?: "") < 0 ||
            json_object_set(reply, "interfaces", names) < 0)
                return -ENOMEM;
        return varlink_call_reply(call, TAKE_PTR(reply));
}

static int on_get_interface_description(VarlinkCall *call, json_t *parameters, void *userdata)
{
        VarlinkServer *s = ASSERT_PTR((VarlinkServer *)userdata);
        const char *name = json_get_string(parameters, "interface");
        _cleanup_json_ json_t *reply = json_object();

        if (!reply)
                return -ENOMEM;
        const VarlinkServedInterface *i = varlink_server_find_interface(s, name);
        if (!i) {
                if (json_set_string(reply, "interface", name) < 0)
                        return -ENOMEM;
                return varlink_call_error(call, VARLINK_ERROR_INTERFACE_NOT_FOUND, TAKE_PTR(reply));
        }
        if (json_set_string(reply, "description", i->interface->definition) < 0)
                return -ENOMEM;
        return varlink_call_reply(call, TAKE_PTR(reply));
}

static const VarlinkMethod methods[] = {
        { "GetInfo", on_get_info, 0 },
        { "GetInterfaceDescription", on_get_interface_description, 0 },
};

void varlink_service_init(VarlinkServer *s)
{
        assert(s);

        s->service = (VarlinkInterface){
                .definition = definition, .methods = methods, .n_methods = ELEMENTSOF(methods), .userdata = s
        };
}

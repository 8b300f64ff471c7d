"""The runtime that counts in iterations without the hooks that look into CPM's criterion."""

_base_ = "./iter_runtime.py"

default_hooks = {
    "_delete_": True,
    **{
        name: hook
        for name, hook in _base_.default_hooks.items()
        if name not in ("em_update", "stability", "acp_quality")
    },
}

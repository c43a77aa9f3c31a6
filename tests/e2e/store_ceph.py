"""Ceph's radosgw: one monitor, one OSD that keeps everything in memory, no manager, no cephx."""

from __future__ import annotations

import uuid
from pathlib import Path

from processes import NotReady, Process, wait_for_port
from stores import SECRET, Store, on_free_ports

KEY = "testkey"


def ceph(directory: Path) -> Store:
    """A new, empty cluster; about 12 s until it serves."""
    return on_free_ports(3, directory, _start)


def _start(base: Path, ports: list[int], processes: list[Process]) -> Store:
    mon_v2, mon_v1, gateway = ports
    for each in ("mon", "osd", "rgw", "run", "log"):
        (base / each).mkdir(parents=True)
    conf, osd_uuid = base / "ceph.conf", str(uuid.uuid4())
    conf.write_text(CONF.format(base=base, fsid=uuid.uuid4(), mon_v2=mon_v2, mon_v1=mon_v1,
                                gateway=gateway))

    def program(name: str, *arguments: str) -> list[str]:
        return [name, "-c", str(conf), *arguments]

    def serve(name: str, *arguments: str) -> None:
        processes.append(Process(name, program(name, *arguments, "-f"), cwd=base))

    _run(program("ceph-mon", "-i", "a", "--mkfs"), base)
    serve("ceph-mon", "-i", "a")
    wait_for_port(mon_v2, processes)
    _run(program("ceph", "--connect-timeout", "50", "osd", "new", osd_uuid), base)
    _run(program("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd_uuid), base)
    serve("ceph-osd", "-i", "0")
    _run(program("radosgw-admin", "-n", "client.rgw", "user", "create", "--uid=e2e",
                 "--display-name=e2e", f"--access-key={KEY}", f"--secret-key={SECRET}"), base)
    serve("radosgw", "-n", "client.rgw")
    wait_for_port(gateway, processes)
    return Store("ceph", f"http://127.0.0.1:{gateway}", KEY, SECRET, processes, versions=True)


def with_caps(store: Store) -> Store:
    """The same store, as a user that may administrate it."""
    gateway = next(process for process in store.processes if process.name == "radosgw")
    conf = gateway.child.args[2]
    base = Path(conf).parent
    _run(["radosgw-admin", "-c", conf, "-n", "client.rgw", "user", "create", "--uid=power",
          "--display-name=power", "--access-key=powerkey", f"--secret-key={SECRET}",
          "--caps=users=*;buckets=*;metadata=*;usage=*"], base)
    return Store("ceph", store.url, "powerkey", SECRET, versions=True)


def _run(argv: list[str], base: Path, timeout: float = 120) -> None:
    """A step that must succeed; a port taken meanwhile shows itself here, too."""
    step = Process(f"{argv[0]}-step", argv, cwd=base)
    if step.child.wait(timeout) != 0:
        raise NotReady(f"{' '.join(argv)} failed:\n{step.tail()}")


CONF = """\
[global]
fsid = {fsid}
mon_initial_members = a
mon_host = [v2:127.0.0.1:{mon_v2},v1:127.0.0.1:{mon_v1}]
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc
run_dir = {base}/run
admin_socket = {base}/run/$name.asok
pid_file =
log_file = {base}/log/$name.log
log_to_stderr = false
err_to_stderr = true
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 2000
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
[mon]
mon_data = {base}/mon
mon_data_avail_crit = 1
mon_data_avail_warn = 1
mon_osd_min_down_reporters = 1
[mon.a]
host = localhost
public_addrv = [v2:127.0.0.1:{mon_v2},v1:127.0.0.1:{mon_v1}]
[osd]
osd_data = {base}/osd
osd_objectstore = memstore
memstore_device_bytes = 4294967296
osd_class_load_list = *
osd_class_default_list = *
[client.rgw]
rgw_data = {base}/rgw
rgw_frontends = beast endpoint=127.0.0.1:{gateway}
rgw_thread_pool_size = 64
rgw_enable_usage_log = false
"""

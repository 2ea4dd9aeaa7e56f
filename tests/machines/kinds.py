"""How the beacon of these drills is started: by systemd, or by a script of the system."""

from typing import NamedTuple


class Kind(NamedTuple):
    """A profile, and the definition of the service that goes with it."""

    profile: str
    file: str
    """What the definition is called in a release."""

    place: str
    """Where it is on a node."""

    text: str
    """What it says of a `{version}`."""

    mode: int
    begin: tuple[tuple[str, ...], ...]
    """What a person types once it lies there."""


_PROFILE = """\
[product]
name = "beacon"
layout = "overlay"
directory = "/opt/beacon"
keep = ["beacon.conf"]

[service]
{service}
stop_timeout = "10s"
start_timeout = "10s"

[[health]]
kind = "http"
url = "http://127.0.0.1:8080/health"
version_field = "version"
timeout = "2s"
"""

# As a packager would write it: the default KillMode ends all that is in the unit's group.
_UNIT = """\
[Unit]
Description=Beacon {version}

[Service]
ExecStart=/usr/bin/python3 /opt/beacon/beacon.py
Environment=BEACON_PORT=8080
Restart=on-failure
RestartSec=100ms

[Install]
WantedBy=multi-user.target
"""

_SCRIPT = """\
#!/bin/sh
### BEGIN INIT INFO
# Provides:          beacon
# Required-Start:    $local_fs
# Required-Stop:     $local_fs
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: Beacon {version}
### END INIT INFO
export BEACON_PORT=8080
what="--pidfile /opt/beacon/beacon.pid"
case "$1" in
start)
    start-stop-daemon --start --oknodo --background --no-close $what \\
        --startas /usr/bin/python3 -- /opt/beacon/beacon.py >>/var/log/beacon.log 2>&1
    ;;
stop) start-stop-daemon --stop --oknodo --retry 5 $what && rm -f /opt/beacon/beacon.pid ;;
restart) "$0" stop && "$0" start ;;
status) start-stop-daemon --status $what ;;
*) exit 2 ;;
esac
"""

SYSTEMD = Kind(
    profile=_PROFILE.format(
        service='kind = "systemd"\nunit = "beacon.service"\ndefinition = "beacon.service"\n'
        'log = "journald"'
    ),
    file="beacon.service",
    place="/etc/systemd/system/beacon.service",
    text=_UNIT,
    mode=0o644,
    begin=(
        ("systemctl", "daemon-reload"),
        ("systemctl", "enable", "beacon.service"),
        ("systemctl", "start", "beacon.service"),
    ),
)

SYSV = Kind(
    profile=_PROFILE.format(
        service='kind = "sysv"\nscript = "beacon"\ndefinition = "beacon.init"\n'
        'pid_file = "beacon.pid"\nlog = "/var/log/beacon.log"'
    ),
    file="beacon.init",
    place="/etc/init.d/beacon",
    text=_SCRIPT,
    mode=0o755,
    begin=(("update-rc.d", "beacon", "defaults"), ("/etc/init.d/beacon", "start")),
)

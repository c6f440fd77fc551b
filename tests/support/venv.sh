# Sourced by tests/run and examples/first-mail (POSIX sh), in the root of the clone: a virtual environment, made if missing.
#
#   make_venv FOLDER NAME WORD ...   have FOLDER hold what `pip install WORD ...` installs; done again only after pyproject.toml
#                                    changed or the clone moved; NAME tells several such calls for one folder apart
#
# Every failure is one line on stderr and exit status 69: no fitting Python, or no way to get the packages.

venv_fail() {
	printf '%s\n' "$*" >&2
	exit 69
}

# Print the Pythons that are new enough, one a line, $PYTHON alone if it is set. The system's comes first: every user of the
# machine can run it, which matters for commands that replace sendmail.
venv_pythons() {
	set -- /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11
	[ -z "${PYTHON:-}" ] || set -- "$PYTHON"
	for candidate; do
		if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
			command -v "$candidate"
		fi
	done
}

# Install Debian packages if this is root on a machine that has apt-get; twice, as mirrors have weak moments.
venv_apt_get() {
	[ "$(id -u)" = 0 ] && [ -e /etc/debian_version ] && command -v apt-get >/dev/null 2>&1 || return 1
	printf 'installing %s with apt-get ...\n' "$*" >&2
	for _ in 1 2; do
		apt-get -qq update >/dev/null 2>&1 || :
		DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$@" \
			</dev/null >/dev/null 2>&1 && return
	done
	return 1
}

# Make an empty virtual environment in folder $1 with the first Python that can; nothing is left behind if none can.
venv_create() {
	venv_pythons >"$1.pythons"
	while read -r candidate; do
		rm -rf "$1"
		if "$candidate" -m venv "$1" >/dev/null 2>&1 && "$1/bin/python" -m pip --version >/dev/null 2>&1; then
			printf '%s\n' "$1" >"$1/place"
			printf 'made the virtual environment %s with %s\n' "$1" "$candidate" >&2
			rm -f "$1.pythons"
			return
		fi
	done <"$1.pythons"
	rm -rf "$1" "$1.pythons"
	return 1
}

# Have an environment in folder $1, with whatever was installed into it before.
venv_have() {
	if [ "$(cat "$1/place" 2>/dev/null)" = "$1" ] && "$1/bin/python" -m pip --version >/dev/null 2>&1; then
		return
	fi
	if venv_create "$1"; then
		return
	fi
	venv_first=$(venv_pythons | head -n 1)
	if [ -z "$venv_first" ]; then
		venv_package=python3-venv
		venv_want='no Python 3.11 or newer here: install python3 and python3-venv (Debian, Ubuntu), or name one with PYTHON=...'
	else
		venv_package=$("$venv_first" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
		venv_want="$venv_first cannot make a virtual environment: install $venv_package or python3-venv, then run this again"
	fi
	{ venv_apt_get "$venv_package" && venv_create "$1"; } || venv_fail "$venv_want"
}

make_venv() {
	venv=$1
	venv_stamp=$1/installed-$2
	shift 2
	unset PYTHONHOME PYTHONPATH
	venv_state="$venv $* $(cksum <pyproject.toml)"
	if [ -x "$venv/bin/python" ] && [ "$(cat "$venv_stamp" 2>/dev/null)" = "$venv_state" ]; then
		return
	fi
	venv_have "$venv"
	printf 'installing %s ...\n' "$*" >&2
	"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-input "$@" </dev/null >"$venv/pip.log" 2>&1 || {
		tail -n 3 "$venv/pip.log" >&2
		venv_fail "pip could not install $* (is there a network?); all it said is in $venv/pip.log"
	}
	printf '%s\n' "$venv_state" >"$venv_stamp"
}

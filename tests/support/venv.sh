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

# Print the first Python that is new enough, $PYTHON before all others.
venv_python() {
	for candidate in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3; do
		if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
			command -v "$candidate"
			return
		fi
	done
	return 1
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

# Make an empty virtual environment in folder $2 with Python $1; nothing is left of it if that fails.
venv_create() {
	rm -rf "$2"
	if "$1" -m venv "$2" >/dev/null 2>&1 && "$2/bin/python" -m pip --version >/dev/null 2>&1; then
		printf '%s\n' "$2" >"$2/place"
		return
	fi
	rm -rf "$2"
	return 1
}

# Have an environment in folder $1, with whatever was installed into it before.
venv_have() {
	if [ "$(cat "$1/place" 2>/dev/null)" = "$1" ] && "$1/bin/python" -m pip --version >/dev/null 2>&1; then
		return
	fi
	venv_using=$(venv_python) || {
		venv_apt_get python3 python3-venv && venv_using=$(venv_python) ||
			venv_fail "no Python 3.11 or newer here (Debian, Ubuntu: apt-get install python3 python3-venv), or name one: PYTHON=..."
	}
	printf 'making the virtual environment %s with %s ...\n' "$1" "$venv_using" >&2
	venv_package=$("$venv_using" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
	venv_create "$venv_using" "$1" || {
		venv_apt_get "$venv_package" && venv_create "$venv_using" "$1" ||
			venv_fail "$venv_using cannot make a virtual environment: install $venv_package or python3-venv, then run this again"
	}
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

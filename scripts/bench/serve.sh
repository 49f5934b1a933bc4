#!/usr/bin/env bash
# summary: the server around a model: beside the bare session and FastAPI, overloaded, for long, and mistreated
#
# Usage: scripts/bench.sh serve [--quick] [--case NAME] [--rounds N] [--turn TIME] [--minutes N] [--threads N]
#                               [--device cuda[:N]]
# The cases, with the generator of the load as a process of its own beside the server:
#   overhead            requests a second around a model that costs nothing, and latencies at half that rate
#   resnet18, resnet50  images a second over the bare session's, from JPEG files that are all different;
#                       also with the tag turbojpeg where pkg-config finds libturbojpeg
#   fastapi             beside FastAPI, uvicorn, Pillow and onnxruntime, for which a Python environment is made
#                       in build/serve/venv; skipped without python3
#   overload            three times as many requests as it can answer, and whether Retry-After tells the truth
#   soak                good, bad and broken requests for --minutes 30: does its memory grow?
#   faults              new models and SIGTERM under load, rude clients, bad images among good ones: is any
#                       answer lost or wrong?
# The figures want a machine without other work. VICREG_TEST_DATA names the folder
# with photos/*.jpg, by default ../shared/data. --quick leaves resnet50 out, unless it
# is named. The exit code is 1 when an answer was wrong, lost or not to be expected.
set -euo pipefail
only=
arguments=("$@")
for ((i = 0; i < $#; i++)); do
	case ${arguments[i]} in
	--case | -case) only=${arguments[i + 1]:-} ;;
	--case=* | -case=*) only=${arguments[i]#*=} ;;
	esac
done
data=${VICREG_TEST_DATA:-../shared/data}
if ! compgen -G "$data/photos/*.jpg" >/dev/null; then
	echo "serve: no photos/*.jpg in $data; set VICREG_TEST_DATA" >&2
	exit 1
fi
cuda=()
[[ " $* " != *[\ =]cuda* ]] || cuda=(--cuda)
scripts/get-onnxruntime.sh "${cuda[@]}" >&2
work=build/serve
mkdir -p "$work"
go build -o "$work/vicreg" .
go build -o "$work/bench" ./scripts/bench/serve

turbo=()
if pkg-config --exists libturbojpeg 2>/dev/null && CGO_ENABLED=1 go build -tags turbojpeg -o "$work/vicreg-turbo" .; then
	turbo=(-turbo "$work/vicreg-turbo")
else
	echo "serve: no libturbojpeg (Debian: libturbojpeg0-dev), so the default build alone" >&2
fi

# The peer's packages, in a separate environment. The stamp is written last.
pins=(fastapi==0.165.0 starlette==1.10.0 uvicorn==0.54.0 uvloop==0.23.0 httptools==0.9.0 onnxruntime==1.30.0 numpy==2.4.6 pillow==13.0.0)
venv=$work/venv
ready() { [[ $(cat "$venv/pins" 2>/dev/null) == "${pins[*]}" ]] && "$venv/bin/python" -c '' 2>/dev/null; }
if [[ ${only:-fastapi} == fastapi ]] && ! ready; then
	rm -rf "$venv"
	if ! python3 -c 'import venv, ensurepip' 2>/dev/null; then
		echo "serve: no python3 with venv, so nothing to compare with" >&2
	elif python3 -m venv "$venv" >&2 && "$venv/bin/python" -m pip install --quiet --no-input --disable-pip-version-check \
		--only-binary :all: "${pins[@]}" >&2; then
		echo "${pins[*]}" >"$venv/pins"
	else
		echo "serve: pip could not install ${pins[*]}, so nothing to compare with" >&2
	fi
fi
python=()
if ready; then
	python=(-python "$venv/bin/python")
fi
exec "$work/bench" -server "$work/vicreg" "${turbo[@]}" "${python[@]}" -photos "$data/photos" -work "$work" "$@"

#!/bin/sh
# The container's commands: `docker run fst infer udnie /photos -o /out`.
set -eu
cd "$(dirname "$(readlink -f "$0")")/.."

command=${1:-help}
[ $# -eq 0 ] || shift
case $command in
    infer | train | compare) exec python "$command.py" "$@" ;;
    gatys | export) exec python -m "fst.$command" "$@" ;;
    contact_sheet) exec python -m fst.batch.contact_sheet "$@" ;;
    app)
        exec python -m streamlit run app.py --server.address=0.0.0.0 --server.port=8501 \
            --server.headless=true --browser.gatherUsageStats=false "$@"
        ;;
    python | sh) exec "$command" "$@" ;;
    help | --help | -h)
        cat <<'END'
infer STYLE PHOTO... -o OUTPUT     stylise photos, folders, videos
train PICTURE [--content PHOTOS]   learn a style
gatys PHOTO PICTURE -o OUTPUT      stylise without training
compare, contact_sheet, export     see docs/
app                                the web page, on port 8501
python, sh                         look around

With --help each command lists its options. Mount what it reads and writes, and run as yourself:

    docker run --rm --user "$(id -u):$(id -g)" -v "$PWD/photos:/photos:ro" -v "$PWD/out:/out" \
        fst infer udnie /photos -o /out
END
        ;;
    *)
        echo "error: there is no command '$command'; see: docker run fst help" >&2
        exit 2
        ;;
esac

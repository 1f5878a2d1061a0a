# The init of a lab node. Runs as pid 1 of fresh mount, pid, uts, ipc and net namespaces.
# $1 base root  $2 node directory (up, work, root)  $3 node name  $4 "attached" or "detached"  $5 "backup" or ""
set -eu
base=$1 dir=$2 name=$3 mode=$4 kind=$5
root=$dir/root

mount --make-rprivate /
mount -t overlay overlay -o "lowerdir=$base,upperdir=$dir/up,workdir=$dir/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"

mount -t tmpfs -o mode=755,nosuid tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
for d in null:3 zero:5 full:7 random:8 urandom:9; do
  mknod -m 666 "$root/dev/${d%:*}" c 1 "${d#*:}"
done
mknod -m 666 "$root/dev/tty" c 5 0

mount -t tmpfs -o mode=755,nosuid,nodev tmpfs "$root/run"
mkdir -p "$root/run/sshd" "$root/run/lock" "$root/run/postgresql"
chmod 1777 "$root/run/lock"

hostname "$name"
cd "$root"
mkdir -p .host
pivot_root . .host
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
umount -l /.host
rmdir /.host
cd /

chown postgres:postgres /run/postgresql
chmod 2775 /run/postgresql

if [ ! -e /etc/lab-ready ]; then # the first boot only: what the base root leaves to each host
  echo "$name" >/etc/hostname
  echo 'LANG=C.UTF-8' >/etc/default/locale
  rm -f /etc/ssh/ssh_host_*
  ssh-keygen -q -t ed25519 -N '' -C "root@$name" -f /etc/ssh/ssh_host_ed25519_key
  ssh-keygen -q -t ecdsa -N '' -C "root@$name" -f /etc/ssh/ssh_host_ecdsa_key
  {
    echo 'HostKey /etc/ssh/ssh_host_ed25519_key'
    echo 'HostKey /etc/ssh/ssh_host_ecdsa_key'
    echo 'UseDNS no'
    echo 'MaxStartups 100:30:200'
    # OpenSSH 9.8 and later lock a source address out after failed logins, which tests make on purpose.
    if sshd -T 2>/dev/null | grep -qi '^persourcepenalties'; then echo 'PerSourcePenalties no'; fi
  } >/etc/ssh/sshd_config.d/lab.conf
  useradd -m -s /bin/bash -p '*' admin
  useradd -m -s /bin/bash -p '*' nosudo
  echo 'admin ALL=(ALL:ALL) NOPASSWD: ALL' >/etc/sudoers.d/lab
  chmod 440 /etc/sudoers.d/lab
  users='root postgres admin nosudo'
  if [ "$kind" = backup ]; then # Debian ships a system user of this name without a login
    usermod -s /bin/bash -d /home/backup -p '*' backup
    install -d -o backup -g backup -m 755 /home/backup /backup
    users="$users backup"
  fi
  for u in $users; do
    home=$(getent passwd "$u" | cut -d: -f6)
    group=$(id -gn "$u")
    install -d -o "$u" -g "$group" -m 700 "$home/.ssh"
    install -o "$u" -g "$group" -m 600 /etc/lab-authorized_keys "$home/.ssh/authorized_keys"
  done
  usermod -p '*' postgres
  touch /etc/lab-ready
fi

/usr/sbin/sshd
# bash reaps what is orphaned into pid 1; pg_ctl waits for ever for a postmaster that stays a zombie.
if [ "$mode" = attached ]; then # ends with the process that holds the other end of stdin
  while read -r _; do :; done
  exit 0
fi
while :; do
  sleep 86400 &
  wait $!
done

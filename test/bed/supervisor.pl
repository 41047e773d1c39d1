# Holds one server of the test bed: supervisor.pl SIGNAL GRACE-SECONDS FOLDER COMMAND...
# File descriptor 3 is a pipe whose other end the test holds. When that end closes, because the test wants the
# server gone or because the test itself died, the server gets SIGNAL, and after its grace period it and all
# that ever descended from it (sessions, detached programs) are ended and FOLDER is removed.
use strict;
use warnings;
use File::Path ();
use POSIX qw(WNOHANG setsid uname);

my ($signal, $grace, $folder, @command) = @ARGV;
my %prctl_number = (x86_64 => 157, aarch64 => 167, armv7l => 172, i686 => 172, ppc64le => 171, s390x => 172, riscv64 => 167);
my $prctl = $prctl_number{ (uname())[4] };
# PR_SET_CHILD_SUBREAPER: orphans become our children, so that none of them can get lost.
syscall($prctl, 36, 1, 0, 0, 0) if defined $prctl;

my $server = fork();
die "fork: $!" unless defined $server;
if ($server == 0) {
    setsid();
    # PR_SET_PDEATHSIG: should this supervisor be killed, the server goes with it.
    syscall($prctl, 1, 15, 0, 0, 0) if defined $prctl;
    POSIX::close(3);
    exec { $command[0] } @command or die "cannot run $command[0]: $!\n";
}

open my $leash, '<&=', 3 or die "no pipe: $!";
$SIG{$_} = 'IGNORE' for qw(INT TERM HUP PIPE);
$SIG{CHLD} = sub { };
my $status;

sub reap {
    while ((my $pid = waitpid(-1, WNOHANG)) > 0) { $status = $? if $pid == $server }
}

sub descendants {
    my %children;
    for my $file (glob '/proc/[0-9]*/stat') {
        open my $handle, '<', $file or next;
        my $line = <$handle> // next;
        my ($pid, $state, $parent) = $line =~ /^(\d+) \(.*\) (\S) (\d+)/s or next;
        push @{ $children{$parent} }, $pid if $state ne 'Z';
    }
    my @found;
    my @open = ($$);
    while (defined(my $next = shift @open)) {
        my @here = @{ $children{$next} // [] };
        push @found, @here;
        push @open, @here;
    }
    return @found;
}

sub wait_until {
    my ($seconds, $done) = @_;
    for (my $waited = 0; $waited < $seconds; $waited += 0.02) {
        reap();
        return 1 if $done->();
        select undef, undef, undef, 0.02;
    }
    return 0;
}

while (!defined $status) {
    my $ready = '';
    vec($ready, 3, 1) = 1;
    my $count = select $ready, undef, undef, 0.2;
    reap();
    last if $count > 0 && !sysread $leash, my $ignored, 1;
}

if (!defined $status) {
    kill $signal, $server;
    kill 'CONT', $server; # a test may have stopped it
    wait_until($grace, sub { defined $status });
}
kill 'TERM', descendants();
wait_until(2, sub { !descendants() }) or do {
    kill 'KILL', descendants();
    wait_until(10, sub { !descendants() });
};
reap();
File::Path::remove_tree($folder) if $folder ne '';
exit(!defined $status ? 137 : $status & 127 ? 128 + ($status & 127) : $status >> 8);

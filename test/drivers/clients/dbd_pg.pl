# DBD::Pg: the flows in each of its ways to run a statement, then what only it does.
#
# Reads the input of test/drivers as JSON from standard input and prints the transcript as JSON lines.
use strict;
use warnings;
use utf8;
use DBI;
use DBD::Pg qw(:pg_types :async);
use IO::Socket::INET;
use JSON::PP;
use Time::HiRes qw(time sleep);

local $/ = undef;
my $json = JSON::PP->new->utf8->canonical;
my $input = $json->decode(scalar <STDIN>);
my $target = $input->{target};
my $remote = $target->{remote};
$| = 1;

my @warnings;
$SIG{__WARN__} = sub { push @warnings, $_[0] };

sub connection {
  my (%options) = @_;
  my $address = "dbi:Pg:host=$target->{host};port=$target->{port};dbname=$target->{database}";
  my $dbh = DBI->connect($address, $target->{user}, '', { AutoCommit => 1, RaiseError => 1, PrintError => 0, PrintWarn => 1, %options });
  $dbh->{pg_errorlevel} = 2;
  return $dbh;
}

# Waits until the remote has a session that sleeps.
sub remote_sleeps {
  my $watcher = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $target->{watchPort}) or die "no watcher: $!";
  print $watcher "$target->{database} wait_event = 'PgSleep'\n";
  my $answer = <$watcher>;
  die "the remote does not sleep: $answer" if $answer ne "yes\n";
}

sub note {
  my ($flow, $at, %outcome) = @_;
  my @notices = map { bare($_) } splice @warnings;
  print $json->encode({ flow => $flow, at => $at, notices => \@notices, %outcome }), "\n";
}

# What the server said, without the place in its source and the place in this script.
sub bare {
  my ($text) = @_;
  $text =~ s/ at \S+ line \d+(, <STDIN>[^.]*)?\.\n?$//;
  $text =~ s/^LOCATION: .*//mg;
  $text =~ s/\s+$//;
  return $text;
}

sub fields {
  my ($dbh) = @_;
  my %fields = (state => $dbh->state);
  for my $name (qw(severity primary detail hint context statement_position internal_position internal_query schema table constraint)) {
    my $value = $dbh->pg_error_field($name);
    $fields{$name} = $value if defined $value;
  }
  return \%fields;
}

# Does something; an error is part of the transcript.
sub attempt {
  my ($flow, $dbh, $at, $action) = @_;
  my $result = eval { $action->() };
  if ($@) {
    my $error = { %{ fields($dbh) }, failure => bare($dbh->errstr // $@) };
    note($flow, $at, error => $error, status => $dbh->pg_error_field('state') && $dbh->ping);
    return 0;
  }
  note($flow, $at, result => $result, status => $dbh->ping);
  return 1;
}

sub outcome {
  my ($sth) = @_;
  my $shown = { rows => $sth->rows };
  if ($sth->{NUM_OF_FIELDS}) {
    $shown->{columns} = [map { [$sth->{NAME}[$_], $sth->{pg_type}[$_], $sth->{PRECISION}[$_], $sth->{SCALE}[$_]] } 0 .. $sth->{NUM_OF_FIELDS} - 1];
    $shown->{values} = [map { [map { ref $_ ? $_ : defined $_ ? "$_" : undef } @$_] } @{ $sth->fetchall_arrayref }];
  }
  return $shown;
}

# pg_server_prepare 0: placeholders become parameters of an unnamed statement; 1: named statements.
sub run {
  my ($flow, $dbh, $options, $sql, @values) = @_;
  return attempt($flow, $dbh, $sql, sub {
    my $sth = $dbh->prepare($sql, $options);
    for my $index (0 .. $#values) {
      my $value = JSON::PP::is_bool($values[$index]) ? ($values[$index] ? 't' : 'f') : $values[$index];
      $sth->bind_param('$' . ($index + 1), $value);
    }
    $sth->execute;
    return outcome($sth);
  });
}

my %modes = (
  'named statements' => { pg_server_prepare => 1, pg_prepare_now => 0, pg_placeholder_dollaronly => 1 },
  'prepare now' => { pg_server_prepare => 1, pg_prepare_now => 1, pg_placeholder_dollaronly => 1 },
  'unnamed statements' => { pg_server_prepare => 0, pg_placeholder_dollaronly => 1 },
  'direct' => { pg_direct => 1 },
);

for my $mode (sort keys %modes) {
  for my $flow (@{ $input->{flows} }) {
    next if $mode eq 'direct' && grep { @{ $_->{values} } } @{ $flow->{steps} };
    next if $mode ne 'direct' && $flow->{simpleOnly};
    my $dbh = connection();
    run("$flow->{name} [$mode]", $dbh, $modes{$mode}, $_->{sql}, @{ $_->{values} }) for @{ $flow->{steps} };
    $dbh->disconnect;
  }
}

if ($target->{bridged}) {
  bridged();
  exit;
}

{
  my $flow = 'a statement is executed again';
  my $dbh = connection();
  run($flow, $dbh, {}, q{SELECT dblink_connect('c', $1)}, $remote);
  attempt($flow, $dbh, 'executions', sub {
    my $sth = $dbh->prepare(q{SELECT * FROM dblink('c', ?) AS t(id int, item text)});
    my @all;
    for my $n (1 .. 4) {
      $sth->execute("SELECT $n, item FROM orders WHERE id = $n");
      push @all, outcome($sth);
    }
    return \@all;
  });
  attempt($flow, $dbh, 'selectall_arrayref', sub { $dbh->selectall_arrayref(q{SELECT * FROM dblink('c', 'SELECT id, item FROM orders') AS t(id int, item text) WHERE id < ?}, undef, 3) });
  attempt($flow, $dbh, 'do', sub { $dbh->do(q{INSERT INTO log (line) SELECT item FROM dblink('c', ?) AS t(id int, item text)}, undef, 'SELECT id, item FROM orders') });
  attempt($flow, $dbh, 'arrays', sub { $dbh->selectall_arrayref(q{SELECT * FROM dblink('c', 'SELECT ARRAY[1,2]') AS t(a int[]) WHERE a @> ?}, undef, [1]) });
  attempt($flow, $dbh, 'bytea', sub {
    my $sth = $dbh->prepare(q{SELECT encode(ba, 'hex') FROM dblink('c', 'SELECT ba FROM kinds') AS t(ba bytea) WHERE ba = ?});
    $sth->bind_param(1, "\x00\xff\x10", { pg_type => PG_BYTEA });
    $sth->execute;
    return outcome($sth);
  });
  attempt($flow, $dbh, 'clean up', sub { $dbh->do('DELETE FROM log') });
  $dbh->disconnect;
}

{
  my $flow = 'transactions';
  my $dbh = connection(AutoCommit => 0);
  run($flow, $dbh, {}, q{SELECT dblink_connect('c', $1)}, $remote);
  run($flow, $dbh, {}, q{INSERT INTO log (line) SELECT item FROM dblink('c', $1) AS t(id int, item text)}, 'SELECT id, item FROM orders');
  $dbh->pg_savepoint('s');
  run($flow, $dbh, {}, q{SELECT * FROM dblink('c', $1) AS t(a int)}, 'SELECT 1/0');
  run($flow, $dbh, {}, 'SELECT count(*) FROM log');
  $dbh->pg_rollback_to('s');
  run($flow, $dbh, {}, 'SELECT count(*) FROM log');
  attempt($flow, $dbh, 'rollback', sub { $dbh->rollback });
  run($flow, $dbh, {}, 'SELECT count(*) FROM log');
  $dbh->rollback;
  $dbh->disconnect;
}

{
  my $flow = 'asynchronous queries and pg_cancel';
  my $dbh = connection();
  run($flow, $dbh, {}, q{SELECT dblink_connect('c', $1)}, $remote);
  attempt($flow, $dbh, 'asynchronous', sub {
    my $sth = $dbh->prepare(q{SELECT * FROM dblink('c', 'SELECT 1 FROM pg_sleep(0.1)') AS t(a int)}, { pg_async => PG_ASYNC });
    $sth->execute;
    sleep 0.01 until $dbh->pg_ready;
    $dbh->pg_result;
    return outcome($sth);
  });
  my $started = time;
  attempt($flow, $dbh, 'cancelled', sub {
    my $sth = $dbh->prepare(qq{SELECT * FROM dblink('c', 'SELECT pg_sleep($target->{nap})') AS t(a text)}, { pg_async => PG_ASYNC });
    $sth->execute;
    remote_sleeps();
    return $dbh->pg_cancel ? 'cancelled' : 'finished';
  });
  note($flow, 'time of the cancel', elapsedMs => int((time - $started) * 1000));
  attempt($flow, $dbh, 'after the cancel', sub { $dbh->selectall_arrayref(q{SELECT * FROM dblink('c', 'SELECT 1') AS t(a int)}) });
  $dbh->disconnect;
}

# With views and functions that call dblink.
sub bridged {
  my $flow = 'COPY from a view';
  my $dbh = connection();
  for my $sql ('COPY (SELECT * FROM far_orders ORDER BY id) TO STDOUT', 'COPY (SELECT * FROM far_division) TO STDOUT') {
    attempt($flow, $dbh, $sql, sub {
      $dbh->do($sql);
      my @lines;
      my $line = '';
      push @lines, $line while $dbh->pg_getcopydata($line) >= 0;
      return \@lines;
    });
  }
  run($flow, $dbh, {}, 'SELECT far_item(1)');
  $dbh->disconnect;

  for my $sql ('SELECT * FROM far_sleep', qq{SELECT unguarded('SELECT 1 FROM pg_sleep($target->{nap})')}) {
    $flow = "pg_cancel of $sql";
    $dbh = connection();
    my $started = time;
    attempt($flow, $dbh, 'cancelled', sub {
      my $sth = $dbh->prepare($sql, { pg_async => PG_ASYNC });
      $sth->execute;
      remote_sleeps();
      return $dbh->pg_cancel ? 'cancelled' : 'finished';
    });
    note($flow, 'time of the cancel', elapsedMs => int((time - $started) * 1000));
    attempt($flow, $dbh, 'after the cancel', sub { $dbh->selectall_arrayref('SELECT far_item(1)') });
    $dbh->disconnect;
  }
}

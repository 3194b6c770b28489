//! What is played: what the simulation has to know of MD, its traps among it.

use std::time::Duration;

use anyhow::Result;
use mdfabric::plan::Join;

use crate::play::Play;

pub(crate) struct Script {
    pub(crate) name: &'static str,
    pub(crate) run: fn(&mut Play<'_>) -> Result<()>,
}

pub(crate) const SCRIPTS: &[Script] = &[
    Script { name: "a member that failed comes back by bitmap", run: by_bitmap },
    Script { name: "a stale half starts happily", run: stale_half },
    Script { name: "halves that were written apart are put together", run: apart },
    Script { name: "a half that was started alone takes the other one back as new", run: taken_back },
    Script { name: "the last member is marked faulty", run: last_member },
    Script { name: "a member comes back behind the bitmap", run: behind_the_bitmap },
    Script {
        name: "a member comes back by bitmap while another is filled, and waits for a slot",
        run: waits_for_a_slot,
    },
    Script { name: "a member comes back by bitmap after another was filled in its slot", run: forgets },
    Script { name: "and where a slot was left vacant for it", run: remembers },
    Script { name: "slots come and go", run: slots },
    Script { name: "write-mostly, and an array in use", run: in_use },
    Script { name: "a leg that queues, and comes back", run: leg_comes_back },
    Script { name: "a leg that queues, and is let go", run: leg_is_let_go },
    Script { name: "a leg that was told to hold, and could come back", run: leg_holds },
];

/// Until the bitmap has forgotten what was written, if it may: `daemon_sleep` is 5 s, and it takes two rounds and more.
const FORGET: Duration = Duration::from_secs(25);

fn by_bitmap(play: &mut Play<'_>) -> Result<()> {
    play.make("AB")?;
    play.write(0, 11)?;
    play.fail('B')?;
    play.write(1, 12)?;
    play.remove('B')?;
    play.add('B', 'A', Join::Bitmap)?;
    play.remove('B')?;
    play.stop()
}

fn stale_half(play: &mut Play<'_>) -> Result<()> {
    play.make("AB")?;
    play.write(0, 21)?;
    play.fail('B')?;
    play.write(0, 22)?;
    play.stop()?;
    play.assemble("B")?;
    play.write(1, 23)?;
    play.stop()?;
    play.assemble("AB")?;
    play.stop()
}

fn apart(play: &mut Play<'_>) -> Result<()> {
    play.make("AB")?;
    play.write(0, 31)?;
    play.stop()?;
    play.assemble("A")?;
    play.write(0, 32)?;
    play.stop()?;
    play.assemble("B")?;
    play.write(1, 33)?;
    play.stop()?;
    play.assemble("A")?;
    play.add('B', 'A', Join::Bitmap)?;
    play.stop()
}

/// Nobody writes, so the superblock still has a role for the one that joins.
fn taken_back(play: &mut Play<'_>) -> Result<()> {
    play.make("AB")?;
    play.stop()?;
    play.assemble("A")?;
    play.add('B', 'A', Join::Full)?;
    play.stop()
}

fn last_member(play: &mut Play<'_>) -> Result<()> {
    play.make("AB")?;
    play.fail('B')?;
    play.fail('A')?;
    play.write(0, 41)?;
    play.stop()
}

fn behind_the_bitmap(play: &mut Play<'_>) -> Result<()> {
    play.make("AB")?;
    play.write(0, 51)?;
    play.fail('B')?;
    play.remove('B')?;
    play.add('C', 'A', Join::Full)?;
    play.write(1, 52)?;
    play.pass(FORGET)?;
    play.fail('C')?;
    play.remove('C')?;
    play.add('B', 'A', Join::Bitmap)?;
    play.add('B', 'A', Join::Full)?;
    play.stop()
}

fn waits_for_a_slot(play: &mut Play<'_>) -> Result<()> {
    play.make("AB")?;
    play.fail('B')?;
    play.remove('B')?;
    play.write(0, 56)?;
    play.add_at_once('C', 'A', Join::Full)?;
    play.add('B', 'A', Join::Bitmap)?;
    play.pass(FORGET)?;
    play.slots(3)?;
    play.stop()
}

/// Only a write to a whole array makes MD refuse a bitmap that has forgotten something; here is none.
fn forgets(play: &mut Play<'_>) -> Result<()> {
    lose(play)?;
    comes_back(play)
}

fn remembers(play: &mut Play<'_>) -> Result<()> {
    lose(play)?;
    play.slots(3)?;
    comes_back(play)
}

/// B, which lacks a block then.
fn lose(play: &mut Play<'_>) -> Result<()> {
    play.make("AB")?;
    play.fail('B')?;
    play.remove('B')?;
    play.write(1, 58)
}

fn comes_back(play: &mut Play<'_>) -> Result<()> {
    play.add('C', 'A', Join::Full)?;
    play.pass(FORGET)?;
    play.fail('C')?;
    play.remove('C')?;
    play.add('B', 'A', Join::Bitmap)?;
    play.stop()
}

fn slots(play: &mut Play<'_>) -> Result<()> {
    play.make("AB")?;
    play.add('C', 'A', Join::Full)?;
    play.slots(3)?;
    play.write(0, 61)?;
    play.slots(2)?;
    play.fail('A')?;
    play.remove('A')?;
    play.write(1, 62)?;
    play.slots(2)?;
    play.slots(1)?;
    play.stop()
}

fn in_use(play: &mut Play<'_>) -> Result<()> {
    play.make("AB")?;
    play.write_mostly('B', true)?;
    play.write(0, 71)?;
    play.write_mostly('B', false)?;
    play.set_open(true)?;
    play.stop()?;
    play.set_open(false)?;
    play.stop()
}

fn leg_comes_back(play: &mut Play<'_>) -> Result<()> {
    play.lay_leg('B')?;
    play.make("AB")?;
    play.write(0, 81)?;
    play.cut('B')?;
    play.write(1, 82)?;
    play.write_mostly('B', true)?;
    play.mend('B')?;
    play.stop()
}

fn leg_holds(play: &mut Play<'_>) -> Result<()> {
    play.lay_leg('B')?;
    play.make("AB")?;
    play.cut('B')?;
    play.hold('B')?;
    play.comes_back_unasked('B')?;
    play.write(1, 96)?;
    play.let_go('B')?;
    play.remove('B')?;
    play.stop()
}

fn leg_is_let_go(play: &mut Play<'_>) -> Result<()> {
    play.lay_leg('B')?;
    play.make("AB")?;
    play.cut('B')?;
    play.write(1, 92)?;
    play.let_go('B')?;
    play.write(0, 93)?;
    play.remove('B')?;
    play.stop()
}

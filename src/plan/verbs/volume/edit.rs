//! `volume edit`: where the copies are, how many there are, and how the volume is looked after.

use super::{check_timeout, invalid, kept, moving, precondition};
use crate::domain::limits::MAX_REPLICAS;
use crate::domain::{
    DriveId, Locality, Member, MoveCause, NodeName, OnStoreLoss, Placed, PlacementEntry, PlacementRequest,
    Record, ReplicaId, Verify, VolumeName, VolumeSpec, VolumeStatus, World,
};
use crate::plan::scale::{self, Difference};
use crate::plan::verbs::{Refusal, RefusalKind, Verdict, known_node, live_volume};
use crate::plan::{candidate, placement};

/// A wish for changes, parsed but not checked. What is not named stays as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EditVolume {
    /// Which volume.
    pub name: VolumeName,
    /// Places that get a copy.
    pub add: Vec<PlacementEntry>,
    /// Places that lose theirs.
    pub remove: Vec<PlacementEntry>,
    /// How many copies there shall be; without it as many as the two lists make.
    pub replicas: Option<u32>,
    /// Seconds a lost replica is waited for.
    pub member_missing_timeout_seconds: Option<u32>,
    /// Whether data follows the owner.
    pub locality: Option<Locality>,
    /// Comparison of a new copy.
    pub verify: Option<Verify>,
    /// Behaviour without a store.
    pub on_store_loss: Option<OnStoreLoss>,
}

impl EditVolume {
    /// A wish for nothing.
    #[must_use]
    pub fn new(name: VolumeName) -> Self {
        Self {
            name,
            add: Vec::new(),
            remove: Vec::new(),
            replicas: None,
            member_missing_timeout_seconds: None,
            locality: None,
            verify: None,
            on_store_loss: None,
        }
    }

    fn is_about_places(&self) -> bool {
        !self.add.is_empty() || !self.remove.is_empty() || self.replicas.is_some()
    }
}

/// `volume edit`. Fewer copies are refused while one that would stay does not hold every write.
pub fn edit(world: &World, wish: &EditVolume) -> Result<Verdict, Refusal> {
    let (volume, status) = live_volume(world, &wish.name)?;
    let object = format!("volume/{}", wish.name);
    let mut next = looked_after(&volume.spec, wish)?;
    let mut chosen = Vec::new();
    if wish.is_about_places() {
        let edit = Edit { world, spec: &volume.spec, status: &status, wish };
        if let Some(outcome) = edit.outcome()? {
            let PlacementRequest { generation, .. } = next.placement;
            next.placement = PlacementRequest { generation: generation + 1, entries: outcome.placed.entries };
            next.replicas = outcome.placed.replicas;
            chosen = outcome.chosen;
        }
    }
    if next == volume.spec {
        return Ok(Verdict::already(object));
    }
    Ok(Verdict { chosen, ..Verdict::write(object, &wish.name, Record::VolumeSpec(next)) })
}

fn looked_after(spec: &VolumeSpec, wish: &EditVolume) -> Result<VolumeSpec, Refusal> {
    let timeout = wish.member_missing_timeout_seconds.unwrap_or(spec.member_missing_timeout_seconds);
    check_timeout(&spec.name, timeout)?;
    Ok(VolumeSpec {
        member_missing_timeout_seconds: timeout,
        locality: wish.locality.unwrap_or(spec.locality),
        verify: wish.verify.unwrap_or(spec.verify),
        on_store_loss: wish.on_store_loss.unwrap_or(spec.on_store_loss),
        ..spec.clone()
    })
}

/// What an edit of the places comes to.
struct Outcome {
    placed: Placed,
    chosen: Vec<String>,
}

struct Edit<'a> {
    world: &'a World,
    spec: &'a VolumeSpec,
    status: &'a VolumeStatus,
    wish: &'a EditVolume,
}

impl<'a> Edit<'a> {
    /// `None`: it is so already, or is being made so.
    fn outcome(&self) -> Result<Option<Outcome>, Refusal> {
        self.check_names()?;
        if self.status.members.is_empty() {
            return Err(precondition(
                format_args!("volume {} has no copies yet that could be changed", self.spec.name),
                format_args!("`mdfabric explain volume/{}` says what it waits for", self.spec.name),
            ));
        }
        let wanted = self.wanted();
        let only_number = self.wish.add.is_empty() && self.wish.remove.is_empty();
        let number = wanted.as_ref().map(|placed| u32::from(placed.copies));
        if only_number && self.wish.replicas == number {
            return Ok(None);
        }
        let mut staying = self.without_removed()?;
        let added = self.added(&staying)?;
        let copies = self.count(staying.len() + added.len())?;
        let mut chosen = Vec::new();
        while staying.len() + added.len() > usize::from(copies) {
            chosen.push(self.drop_worst(&mut staying)?);
        }
        let entries = staying.iter().map(|member| kept(self.spec, member)).chain(added.clone()).collect();
        let placed = Placed { copies, replicas: copies, entries, ..Placed::carried_out(self.spec) };
        let difference = scale::difference(self.world, self.status, &placed);
        let same = |wanted: &Placed| wanted.copies == copies && self.pending(wanted) == difference;
        if wanted.as_ref().is_some_and(same) {
            return Ok(None);
        }
        if wanted.is_some() {
            self.check_under_way(&difference)?;
        }
        self.check_going(&difference)?;
        chosen.extend(self.check_room(&difference)?);
        Ok(Some(Outcome { placed, chosen }))
    }

    /// What is asked for without this edit; `None` for what is not possible.
    fn wanted(&self) -> Option<Placed> {
        if self.status.has_taken_up(self.spec) {
            Some(self.status.placed.clone().unwrap_or_else(|| Placed::carried_out(self.spec)))
        } else {
            scale::take_up(self.spec, self.status).ok()
        }
    }

    /// What of it is still to be done.
    fn pending(&self, wanted: &Placed) -> Difference {
        if self.status.is_placed(self.spec) {
            Difference::default()
        } else {
            scale::difference(self.world, self.status, wanted)
        }
    }

    fn check_names(&self) -> Result<(), Refusal> {
        let named: Vec<&NodeName> =
            self.wish.add.iter().chain(&self.wish.remove).map(|entry| &entry.node).collect();
        for (index, node) in named.iter().enumerate() {
            known_node(self.world, node)?;
            if named.iter().skip(index + 1).any(|other| other == node) {
                return Err(invalid(
                    format_args!("volume {}: {node} is named twice", self.spec.name),
                    "name each node once",
                ));
            }
        }
        Ok(())
    }

    /// The copies that stay; one that is to be removed and is not there is gone already.
    fn without_removed(&self) -> Result<Vec<&'a Member>, Refusal> {
        let mut staying: Vec<&Member> = self.status.staying().collect();
        for entry in &self.wish.remove {
            if let Some(member) = staying.iter().find(|member| member.node == entry.node) {
                self.check_drive(member, entry, "the place of that one cannot be taken from it")?;
            }
            staying.retain(|member| member.node != entry.node);
        }
        Ok(staying)
    }

    /// The places that are new. One that has its copy is not.
    fn added(&self, staying: &[&Member]) -> Result<Vec<PlacementEntry>, Refusal> {
        let mut added = Vec::new();
        for entry in &self.wish.add {
            match self.status.member_on(&entry.node) {
                None => added.push(entry.clone()),
                Some(member) if staying.contains(&member) => {
                    self.check_drive(member, entry, "a node has one copy of a volume")?;
                }
                Some(member) => {
                    return Err(precondition(
                        format_args!(
                            "volume {}: the copy that {} had is still being erased",
                            self.spec.name, member.node
                        ),
                        format_args!("wait until it is gone, or name another node than {}", member.node),
                    ));
                }
            }
        }
        Ok(added)
    }

    fn check_drive(&self, member: &Member, entry: &PlacementEntry, why: &str) -> Result<(), Refusal> {
        if scale::is_at(member, entry) {
            return Ok(());
        }
        let drives: Vec<String> = member.drives.iter().map(ToString::to_string).collect();
        Err(precondition(
            format_args!(
                "volume {}: the copy on {} is on drive {}, not on {}",
                self.spec.name,
                entry.node,
                drives.join(", "),
                entry.drive.as_ref().map_or("any", DriveId::as_str)
            ),
            why,
        ))
    }

    fn count(&self, listed: usize) -> Result<u8, Refusal> {
        let copies = self.wish.replicas.map_or(listed, |replicas| replicas as usize);
        let allowed = u8::try_from(copies).ok().filter(|copies| (1..=MAX_REPLICAS).contains(copies));
        allowed.ok_or_else(|| {
            invalid(
                format_args!("volume {}: {copies} replicas", self.spec.name),
                format_args!("use 1 to {MAX_REPLICAS}"),
            )
        })
    }

    /// Takes the copy away that goes first, and says which and why.
    fn drop_worst(&self, staying: &mut Vec<&'a Member>) -> Result<String, Refusal> {
        let worst = staying
            .iter()
            .enumerate()
            .max_by(|(_, one), (_, other)| scale::worse(self.world, self.status, one, other));
        let Some((index, member)) = worst else {
            return Err(invalid(
                format_args!("volume {}: more places than replicas", self.spec.name),
                "name at most one node per copy",
            ));
        };
        let why = scale::why(self.world, self.status, member);
        let line = format!("the copy on {} goes: {why}", member.node);
        staying.remove(index);
        Ok(line)
    }

    /// While another change is under way it can only be taken back, and only as long as nothing depends on it.
    fn check_under_way(&self, difference: &Difference) -> Result<(), Refusal> {
        if self.status.is_placed(self.spec) && self.status.relocation.is_none() {
            return Ok(());
        }
        let builds_nothing = difference.missing.is_empty();
        match &self.status.relocation {
            None if builds_nothing => Ok(()),
            Some(relocation)
                if builds_nothing
                    && relocation.cause == MoveCause::Placement
                    && relocation.joining.is_some_and(|joining| self.is_taken_back(joining, difference)) =>
            {
                Ok(())
            }
            Some(_) | None => Err(moving(self.spec, "another change of its placement")),
        }
    }

    fn is_taken_back(&self, joining: ReplicaId, difference: &Difference) -> bool {
        difference.surplus.contains(&joining) && !self.status.in_sync.contains(&joining)
    }

    /// Fewer copies: every one that stays has to hold every write. One that is only being built is no loss.
    fn check_going(&self, difference: &Difference) -> Result<(), Refusal> {
        let being_built = self.status.relocation.as_ref().and_then(|relocation| relocation.joining);
        let loss = |replica: &&ReplicaId| Some(**replica) != being_built;
        let fewer = difference.surplus.iter().filter(loss).count() > difference.missing.len();
        let unproven = scale::unproven(self.status, &difference.surplus);
        match unproven.filter(|_| fewer) {
            None => Ok(()),
            Some(member) => Err(precondition(
                format_args!(
                    "volume {}: no copy may go while the one on {} stays and is not in sync ({})",
                    self.spec.name,
                    member.node,
                    member.state.word()
                ),
                format_args!(
                    "wait until it is: `mdfabric explain volume/{}` says what it needs",
                    self.spec.name
                ),
            )),
        }
    }

    /// Whether every new copy finds a place now. Where that is not named, the one it would get is said.
    fn check_room(&self, difference: &Difference) -> Result<Vec<String>, Refusal> {
        let mut promised = placement::promised(self.world);
        let mut taken: Vec<_> =
            self.status.members.iter().map(|member| (member.node.clone(), candidate::HOSTS)).collect();
        let mut said = Vec::new();
        for entry in &difference.missing {
            let target = self.status.target(self.spec);
            let barred = candidate::barred(self.world, self.status, entry.as_ref());
            let request = placement::Request {
                avoided: &barred,
                ..placement::Request::of(self.spec, target, &taken, &promised)
            };
            let size = request.partition_size;
            let place = placement::choose(self.world, &request, entry.as_ref())
                .map_err(|unfit| self.no_room(entry.as_ref(), &unfit))?;
            if entry.is_none() {
                said.push(format!(
                    "the place of a new copy is chosen when it is built, now it would be {}",
                    place.node
                ));
            }
            promised.extend(place.drives.into_iter().map(|drive| (drive, size)));
            taken.push((place.node, "hosts another copy"));
        }
        Ok(said)
    }

    fn no_room(&self, entry: Option<&PlacementEntry>, unfit: &[placement::Unfit]) -> Refusal {
        let on = entry.map(|entry| format!(" on {}", entry.node)).unwrap_or_default();
        Refusal::new(
            RefusalKind::ResourceExhausted,
            format_args!("volume {}: no room for a copy{on}: {}", self.spec.name, placement::whys(unfit)),
            "free space, add a drive with `mdfabric drive add`, or name another node",
        )
    }
}

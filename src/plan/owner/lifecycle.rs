//! The rungs of serving and of releasing a volume, in order.

use super::serving::Serving;
use super::{
    alone, dead, give_way, heal, members, publish, relocate, report, run, scrub, start, stop, stuck, takeover,
};
use crate::domain::{MemberState, Record, Volume, VolumeStatus, Wanted};
use crate::plan::{self, Input, Plan, controller, leg, width};

/// The volume is ours and shall be: bring it up, keep it up, change its replicas.
pub(super) fn serve(input: &Input, volume: &Volume, status: &VolumeStatus, so_far: &Plan) -> Plan {
    let mut serving = Serving::new(input, volume, status, so_far);
    ask_providers(&mut serving);
    alone::settle(&mut serving);
    members::lost(&mut serving);
    if serving.arrays().is_some() {
        start::settle(&mut serving);
        run::plan(&mut serving);
    } else {
        run::without_device(&mut serving);
        start::plan(&mut serving);
    }
    heal::count(&mut serving);
    relocate::plan(&mut serving);
    scrub::plan(&mut serving);
    give_way::to_a_mount(&mut serving);
    finish(serving, false)
}

/// The volume is ours and shall not be: take everything down, then record that nobody owns it.
pub(super) fn release(input: &Input, volume: &Volume, status: &VolumeStatus) -> Plan {
    let nothing = Plan::default();
    let mut serving = Serving::new(input, volume, status, &nothing);
    alone::settle(&mut serving);
    members::lost(&mut serving);
    give_way::to_a_release(&mut serving);
    dead::tell(&mut serving);
    let down = stop::plan(&mut serving);
    finish(serving, down)
}

fn finish(mut serving: Serving, released: bool) -> Plan {
    controller::forget_gone(serving.input, &mut serving.next, &mut serving.plan);
    relocate::finish(serving.input, &mut serving.next, serving.spec);
    serving.next.taken_over = is_unfenced(&serving);
    serving.next.size.get_or_insert(serving.spec.size);
    serving.next.reasons.extend(width::refused(serving.input.world, serving.spec));
    serving.next.reasons.extend(plan::heal::refused(serving.spec));
    stuck::plan(&mut serving);
    report::plan(&mut serving);
    publish::report(&mut serving);
    stuck::tell(&mut serving);
    if released {
        serving.next.owner = None;
        serving.next.follow_owner = false;
        serving.next.mount_path = None;
        serving.next.published.clear();
    }
    let Serving { mut plan, next, status, spec, .. } = serving;
    plan.reasons.extend(next.reasons.iter().cloned());
    if next != *status {
        plan.put(&spec.name, Record::VolumeStatus(next));
    }
    plan
}

/// Whether an earlier owner, which did not release the volume, may still write to a copy that counts.
fn is_unfenced(serving: &Serving) -> bool {
    let (world, status) = (serving.input.world, serving.status);
    serving.next.in_sync.iter().any(|replica| takeover::is_unfenced(world, status, *replica))
}

/// Every member is asked to serve this epoch; one that leaves and is out of the kernel is asked to go.
fn ask_providers(serving: &mut Serving) {
    let Some(host_nqn) = serving.input.world.node_status(serving.input.me).map(|node| node.host_nqn.clone())
    else {
        return;
    };
    for member in &serving.status.members {
        let export = crate::domain::ExportTo {
            node: serving.input.me.clone(),
            host_nqn: host_nqn.clone(),
            epoch: serving.status.epoch,
        };
        let going = member.state == MemberState::Leaving && is_released(serving, member);
        let (export, wanted) = if going { (None, Wanted::Removed) } else { (Some(export), Wanted::Present) };
        controller::ask(
            serving.input,
            serving.spec,
            serving.status,
            member,
            export,
            wanted,
            &mut serving.plan,
        );
    }
}

/// Whether this node holds nothing of a member any more.
pub(super) fn is_released(serving: &Serving, member: &crate::domain::Member) -> bool {
    serving.in_kernel(member) == super::serving::InKernel::Absent
        && serving.columns().all(|column| {
            let partition = crate::domain::partition_guid(member.replica, column);
            let bound = serving
                .leg(member, column)
                .dev()
                .is_some_and(|dev| serving.input.seen.array_holding(dev).is_some());
            !bound && leg::release(serving.input, partition, serving.status.epoch) == leg::Release::Gone
        })
}

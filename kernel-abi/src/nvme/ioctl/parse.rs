//! The answers of admin commands (NVM Express base specification 2.0; `include/linux/nvme.h`).

use crate::ParseError;

/// Length of an Identify answer.
pub const IDENTIFY_BYTES: usize = 4096;
/// Length of the SMART / health log.
pub const SMART_LOG_BYTES: usize = 512;

/// Zero degrees Celsius in kelvins, as `drivers/nvme/host/hwmon.c` rounds it.
const ZERO_CELSIUS: i32 = 273;

/// What a controller says of itself (`struct nvme_id_ctrl`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentifyController {
    /// PCI vendor; 0 for the Linux target.
    pub vendor_id: u16,
    /// Serial number, padding removed.
    pub serial: String,
    /// Model, padding removed.
    pub model: String,
    /// Firmware revision, padding removed.
    pub firmware: String,
    /// Its number in the subsystem.
    pub cntlid: u16,
    /// NQN of its subsystem; old drives have none.
    pub subsysnqn: String,
    /// Bytes of the whole drive; 0 where the controller does not say.
    pub total_capacity_bytes: u128,
    /// Temperature that calls for attention, kelvins; 0 where not given.
    pub warning_temperature_kelvin: u16,
    /// Temperature at which the drive stops, kelvins; 0 where not given.
    pub critical_temperature_kelvin: u16,
    /// Whether there is a volatile write cache.
    pub has_volatile_write_cache: bool,
}

impl IdentifyController {
    /// Reads the 4096 bytes of an Identify answer.
    pub fn parse(data: &[u8]) -> Result<Self, ParseError> {
        let data = Bytes { what: "identify controller", data };
        Ok(Self {
            vendor_id: data.u16(0)?,
            serial: data.text(4, 20)?,
            model: data.text(24, 40)?,
            firmware: data.text(64, 8)?,
            cntlid: data.u16(78)?,
            subsysnqn: data.text(768, 256)?,
            total_capacity_bytes: data.u128(280)?,
            warning_temperature_kelvin: data.u16(266)?,
            critical_temperature_kelvin: data.u16(268)?,
            has_volatile_write_cache: data.u8(525)? & 1 == 1,
        })
    }
}

/// The health of a drive (`struct nvme_smart_log`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SmartLog {
    /// Bits: 1 spare low, 2 temperature, 4 unreliable, 8 read-only, 16 volatile memory backup failed,
    /// 32 persistent memory region read-only.
    pub critical_warning: u8,
    /// Kelvins; 0 where not given.
    pub temperature_kelvin: u16,
    /// Spare capacity left, percent.
    pub available_spare_percent: u8,
    /// Below this it is time to replace the drive, percent.
    pub spare_threshold_percent: u8,
    /// Wear in percent of the rated life; may pass 100, 255 stands for all above.
    pub percentage_used: u8,
    /// Thousands of 512-byte units read.
    pub data_units_read: u128,
    /// Thousands of 512-byte units written.
    pub data_units_written: u128,
    /// Times the drive was switched on.
    pub power_cycles: u128,
    /// Hours of operation.
    pub power_on_hours: u128,
    /// Times power was lost without notice.
    pub unsafe_shutdowns: u128,
    /// Reads and writes that failed for good because data was lost.
    pub media_errors: u128,
    /// Entries ever made in the error log.
    pub error_log_entries: u128,
}

impl SmartLog {
    /// Reads the 512 bytes of the log.
    pub fn parse(data: &[u8]) -> Result<Self, ParseError> {
        let data = Bytes { what: "SMART log", data };
        // A short answer is refused even where the fields read here would fit.
        data.u8(SMART_LOG_BYTES - 1)?;
        Ok(Self {
            critical_warning: data.u8(0)?,
            temperature_kelvin: data.u16(1)?,
            available_spare_percent: data.u8(3)?,
            spare_threshold_percent: data.u8(4)?,
            percentage_used: data.u8(5)?,
            data_units_read: data.u128(32)?,
            data_units_written: data.u128(48)?,
            power_cycles: data.u128(112)?,
            power_on_hours: data.u128(128)?,
            unsafe_shutdowns: data.u128(144)?,
            media_errors: data.u128(160)?,
            error_log_entries: data.u128(176)?,
        })
    }

    /// Degrees Celsius, `None` where the drive does not say.
    #[must_use]
    pub fn temperature_celsius(&self) -> Option<i32> {
        (self.temperature_kelvin != 0).then(|| i32::from(self.temperature_kelvin) - ZERO_CELSIUS)
    }

    /// The drive has gone read-only, or says that it cannot be relied on.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.critical_warning & (4 | 8) != 0
    }
}

/// Little-endian fields of an answer, bounds checked.
struct Bytes<'a> {
    what: &'static str,
    data: &'a [u8],
}

impl Bytes<'_> {
    fn array<const N: usize>(&self, offset: usize) -> Result<[u8; N], ParseError> {
        let field = self.data.get(offset..).and_then(|rest| rest.first_chunk::<N>());
        let have = self.data.len();
        field
            .copied()
            .ok_or_else(|| ParseError::new(self.what, format!("{have} bytes, byte {offset} missing")))
    }

    fn u8(&self, offset: usize) -> Result<u8, ParseError> {
        self.array::<1>(offset).map(|[byte]| byte)
    }

    fn u16(&self, offset: usize) -> Result<u16, ParseError> {
        self.array(offset).map(u16::from_le_bytes)
    }

    fn u128(&self, offset: usize) -> Result<u128, ParseError> {
        self.array(offset).map(u128::from_le_bytes)
    }

    /// ASCII padded with spaces or NULs.
    fn text(&self, offset: usize, length: usize) -> Result<String, ParseError> {
        let end = offset.saturating_add(length);
        let have = self.data.len();
        let field = self.data.get(offset..end);
        let field = field.ok_or_else(|| ParseError::new(self.what, format!("{have} bytes, {end} wanted")))?;
        let field = field.split(|byte| *byte == 0).next().unwrap_or_default();
        Ok(String::from_utf8_lossy(field).trim().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn put(data: &mut [u8], offset: usize, field: &[u8]) {
        data[offset..offset + field.len()].copy_from_slice(field);
    }

    #[test]
    fn a_health_log_is_read() {
        let mut data = vec![0; SMART_LOG_BYTES];
        put(&mut data, 0, &[8, 0x36, 0x01, 100, 10, 7]);
        put(&mut data, 160, &3_u128.to_le_bytes());
        let log = SmartLog::parse(&data).unwrap();
        assert_eq!((log.temperature_celsius(), log.percentage_used, log.media_errors), (Some(37), 7, 3));
        assert!(log.is_failing());
    }

    #[test]
    fn an_identity_is_read() {
        let mut data = vec![0; IDENTIFY_BYTES];
        put(&mut data, 4, b"SN1                 ");
        put(&mut data, 24, b"MODEL                                   ");
        put(&mut data, 78, &5_u16.to_le_bytes());
        put(&mut data, 525, &[7]);
        put(&mut data, 768, b"nqn.x\0garbage");
        let identity = IdentifyController::parse(&data).unwrap();
        assert_eq!((identity.serial.as_str(), identity.model.as_str()), ("SN1", "MODEL"));
        assert_eq!((identity.cntlid, identity.subsysnqn.as_str()), (5, "nqn.x"));
        assert!(identity.has_volatile_write_cache);
    }

    proptest! {
        #[test]
        fn any_bytes_parse_or_are_refused(data in prop::collection::vec(any::<u8>(), 0..1200)) {
            prop_assert_eq!(SmartLog::parse(&data).is_ok(), data.len() >= SMART_LOG_BYTES);
            prop_assert_eq!(IdentifyController::parse(&data).is_ok(), data.len() >= 1024);
        }
    }
}
